"""Direct logit attribution against a float64 twin."""

import numpy as np
import pytest
import torch

from monoseme.atlas.scanning.logits import Unembedding, direct_logits, why_no_logits
from monoseme.models.site import Site

F, D, V = 7, 5, 13


def _case(*, is_centred: bool) -> tuple[torch.Tensor, Unembedding]:
    draw = torch.Generator().manual_seed(0)
    w_dec = torch.randn(F, D, generator=draw)
    return w_dec, Unembedding(torch.randn(D, V, generator=draw), torch.rand(D, generator=draw) + 0.5, is_centred)


@pytest.mark.parametrize("is_centred", [False, True])
def test_logits_are_the_decoder_row_through_the_norms_scale_and_the_unembedding(is_centred: bool) -> None:
    w_dec, unembedding = _case(is_centred=is_centred)
    rows = w_dec.double().numpy()
    if is_centred:
        rows = rows - rows.mean(axis=1, keepdims=True)
    slow = (rows * unembedding.scale.double().numpy()) @ unembedding.weight.double().numpy()
    found = direct_logits(w_dec, unembedding, n_tokens=3)
    order = np.argsort(-slow, axis=1)
    assert (found.top_tokens == order[:, :3]).all()
    assert (found.bottom_tokens == order[:, ::-1][:, :3]).all()
    np.testing.assert_allclose(found.top_logits, np.take_along_axis(slow, order[:, :3], 1), rtol=1e-5)
    np.testing.assert_allclose(found.bottom_logits, np.take_along_axis(slow, order[:, ::-1][:, :3], 1), rtol=1e-5)


def test_slices_of_latents_give_what_one_piece_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    w_dec, unembedding = _case(is_centred=False)
    whole = direct_logits(w_dec, unembedding, n_tokens=2)
    monkeypatch.setattr("monoseme.atlas.scanning.logits._MOST_BYTES", 4 * V * 2)
    sliced = direct_logits(w_dec, unembedding, n_tokens=2)
    assert (whole.top_tokens == sliced.top_tokens).all()


def test_no_more_tokens_are_kept_than_there_are() -> None:
    w_dec, unembedding = _case(is_centred=False)
    assert direct_logits(w_dec, unembedding, n_tokens=100).top_tokens.shape == (F, V)


@pytest.mark.parametrize("site", ["resid_pre.0", "resid_post.3", "attn_out.1", "mlp_out.2"])
def test_sites_that_write_to_the_residual_have_logits(site: str) -> None:
    assert why_no_logits(Site.parse(site)) is None


@pytest.mark.parametrize("site", ["attn_in.1", "mlp_in.2", "head_out.0"])
def test_other_sites_say_why_they_have_none(site: str) -> None:
    assert f"{site} does not write to the residual stream" in str(why_no_logits(Site.parse(site)))
