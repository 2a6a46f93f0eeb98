"""Gradient times activation, of many prompts at once, is the plain computation on whole rows."""

import pytest
import torch
from tests.attribution.conftest import to_the_left
from tests.splice.conftest import SmallSAE

from monoseme.attribution import Batching, gradient_times_activation, plain_gradient_times_activation
from monoseme.attribution._latents import gradients_of_all, gradients_where_they_fire
from monoseme.attribution.metrics import Readout
from monoseme.core.errors import ConfigError, SiteError
from monoseme.models import LanguageModel, Site
from monoseme.saes import SAES
from monoseme.splice import Placed

EARLY, LATE = Site("resid_post", 0), Site("mlp_out", 2)


@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize("batching", [Batching(), Batching(memory_bytes=1), Batching(share_prefix=False)])
def test_it_is_the_plain_way(exact: LanguageModel, readout: Readout, sae: SmallSAE, batching: Batching, side: str) -> None:
    readout = readout if side == "right" else to_the_left(readout)
    at = (
        exact.editable(readout.tokens, readout.real)
        & (torch.arange(11) >= 4)
        & (torch.arange(11) <= readout.answer_from[:, None])
    )
    found = gradient_times_activation(exact, readout, {EARLY: sae, LATE: sae}, at=at, batching=batching)
    plain = plain_gradient_times_activation(exact, readout, {EARLY: sae, LATE: sae}, at=at)
    for site, scores in plain.items():
        assert torch.equal(torch.stack([found[site].prompt, found[site].position], 1), at.nonzero())
        torch.testing.assert_close(found[site].scores.to_dense(), scores[at], atol=1e-9, rtol=1e-7)
    assert (plain[EARLY][at] != 0).any(-1).all()


def test_the_error_is_a_node_like_any_other(exact: LanguageModel, readout: Readout, sae: SmallSAE) -> None:
    """Scores and error's score, with what the bias of the decoder says, are the gradient times the activations."""
    found = gradient_times_activation(exact, readout, {EARLY: sae})[EARLY]
    x = exact.capture(readout.tokens, [EARLY], real=readout.real)[EARLY][found.prompt, found.position]
    of_bias = found.gradient @ sae.b_dec.detach()
    total = found.scores.to_dense().sum(-1) + found.error + of_bias
    torch.testing.assert_close(total, (found.gradient * x).sum(-1))


def test_latents_that_do_not_fire_have_gradients_too(exact: LanguageModel, readout: Readout, sae: SmallSAE) -> None:
    found = gradient_times_activation(exact, readout, {EARLY: sae})[EARLY]
    x = exact.capture(readout.tokens, [EARLY], real=readout.real)[EARLY][found.prompt, found.position]
    codes = sae.encode(x)
    every = gradients_of_all(sae, codes, found.gradient)
    torch.testing.assert_close(every, found.gradient @ sae.w_dec.detach().T)
    firing = gradients_where_they_fire(sae, codes, found.gradient)
    torch.testing.assert_close(firing.to_dense(), every * (codes.dense() != 0))


@pytest.mark.parametrize("name", ["topk", "tfa", "jumprelu", "transcoder"])
def test_our_own_saes_fit(exact: LanguageModel, readout: Readout, name: str) -> None:
    """Also one that reads contexts, and one that writes another site than it reads."""
    model = LanguageModel.from_modules(exact._model, exact.tokenizer)
    SAE = SAES.get(name)
    pair = (Site("mlp_in", 1), Site("mlp_out", 1))
    sites = pair if name == "transcoder" else (EARLY,)
    settings = {"n_sites": 2} if name == "transcoder" else {}
    sae = SAE(SAE.Config(d_in=exact.spec.d_model, n_latents=44, **settings)).double()
    sae.use_kernels("reference")
    whole = exact.capture(readout.tokens, sites, real=readout.real)
    rows = [whole[site][readout.real] for site in sites]
    sae.start(torch.stack(rows, 1) if name == "transcoder" else rows[0])
    placed, site = Placed(sae, sites), sites[-1]
    found = gradient_times_activation(model, readout, {site: placed})[site]
    acts = exact.editable(readout.tokens, readout.real) & (torch.arange(11) <= readout.answer_from[:, None])
    codes = placed.encode(whole, acts)
    torch.testing.assert_close(found.codes.to_dense(), codes.sparse().to_dense())
    expected = codes.dense() * gradients_of_all(sae, codes, found.gradient)
    torch.testing.assert_close(found.scores.to_dense(), expected)
    assert found.scores.nnz


def test_what_cannot_be_attributed_is_refused(exact: LanguageModel, readout: Readout, sae: SmallSAE) -> None:
    SAE = SAES.get("mlsae")
    several = SAE(SAE.Config(d_in=exact.spec.d_model, n_latents=37, n_sites=2))
    with pytest.raises(SiteError, match="several sites"):
        gradient_times_activation(exact, readout, {EARLY: several})
    with pytest.raises(SiteError, match="under the site that it writes"):
        gradient_times_activation(exact, readout, {EARLY: Placed(sae, (LATE,))})
    with pytest.raises(ConfigError, match="does not fit"):
        gradient_times_activation(exact, readout, {EARLY: sae}, at=torch.ones(5, 7, dtype=torch.bool))
    behind = torch.arange(11) > readout.answer_from[:, None]
    with pytest.raises(ConfigError, match="no position"):
        gradient_times_activation(exact, readout, {EARLY: sae}, at=behind)
