"""Sums over the entries of codes at several sites: the compiled loop against torch, and both against one entry at a time."""

import numpy as np
import pytest
import torch

from monoseme.kernels import layer_sums
from monoseme.kernels.layer_sums import LayerSums, TokenSums, add_tokens
from monoseme.tensors.sparse import SparseCodes

_T, _L, _F, _M, _R = 23, 3, 7, 5, 4
_POSITION = np.array([0.0, 2.0, 11.0])
_CLOSE = {"rtol": 1e-12, "atol": 1e-12}
_FLOAT32 = {"rtol": 1e-5, "atol": 1e-6}  # a few additions of float32


@pytest.fixture(params=["loops", "torch"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "torch":
        monkeypatch.setattr(layer_sums, "resolve", lambda *_: "torch")
    return request.param


def _dense(seed: int = 0) -> torch.Tensor:
    gen = torch.Generator().manual_seed(seed)
    codes = torch.randn(_T, _L, _F, generator=gen) * (torch.rand(_T, _L, _F, generator=gen) > 0.5)
    codes[:, :, 3] = 0
    codes[4] = 0
    return codes


def _documents(seed: int = 0) -> torch.Tensor:
    """In no order: a document comes again after another."""
    return torch.randint(_M, (_T,), generator=torch.Generator().manual_seed(seed))


def _weights() -> torch.Tensor:
    return torch.randint(4, (_M, _R), generator=torch.Generator().manual_seed(1)).double()


def _added(dense: torch.Tensor, documents: torch.Tensor, *, step: int) -> tuple[LayerSums, list[TokenSums]]:
    so_far = LayerSums.zero(_POSITION, n_latents=_F, n_replicates=_R)
    parts = zip(dense.split(step), documents.split(step), strict=True)
    return so_far, [add_tokens(so_far, SparseCodes.from_dense(z), d, _weights()) for z, d in parts]


@pytest.mark.parametrize("step", [_T, 4])
def test_sums_are_those_of_one_token_and_latent_at_a_time(way: str, step: int):
    dense, documents = _dense(), _documents()
    so_far, found = _added(dense, documents, step=step)
    z, on = dense.double().abs().numpy(), (dense != 0).numpy()
    np.testing.assert_array_equal(so_far.counts.reshape(_L, _F), on.sum(0))
    np.testing.assert_array_equal(so_far.tokens, on.any(1).sum(0))
    np.testing.assert_allclose(so_far.totals.reshape(_L, _F), z.sum(0), **_CLOSE)
    weight = _weights().numpy()[documents.numpy()]
    np.testing.assert_allclose(so_far.replicates.reshape(_L, _F, _R), np.einsum("tlf,tr->lfr", z, weight), **_FLOAT32)
    rows, shares, spread, number = np.zeros((_M, 5)), np.zeros((_L, _F)), np.zeros(_F), 0.0
    for t in range(_T):
        for j in np.flatnonzero(on[t].any(0)):
            share = z[t, :, j] / z[t, :, j].sum()
            variance = share @ (_POSITION - share @ _POSITION) ** 2
            rows[documents[t]] += [1, z[t, :, j].sum(), z[t, :, j].sum() * variance, on[t, :, j].sum(), on[t, :, j].sum() == 1]
            spread[j] += z[t, :, j].sum() * variance
            shares[:, j] += share
            number += share @ (np.arange(_L) - share @ np.arange(_L)) ** 2
    np.testing.assert_allclose(so_far.spread, spread, **_CLOSE)
    np.testing.assert_allclose(sum(f.documents.numpy() for f in found), rows, **_CLOSE)
    np.testing.assert_allclose(sum(f.shares.numpy() for f in found), shares, **_CLOSE)
    assert sum(float(f.n_site_spread) for f in found) == pytest.approx(number, rel=1e-12)


def test_zeros_in_the_codes_are_no_firings(way: str):
    dense = _dense()
    full = SparseCodes.from_topk(torch.arange(_F).expand(_T, _L, _F), dense, _F)
    so_far = LayerSums.zero(_POSITION, n_latents=_F, n_replicates=_R)
    add_tokens(so_far, full, _documents(), _weights())
    np.testing.assert_array_equal(so_far.counts.reshape(_L, _F), (dense != 0).sum(0).numpy())
    assert so_far.tokens[3] == 0


def test_no_token_and_no_replicate(way: str):
    so_far = LayerSums.zero(_POSITION, n_latents=_F, n_replicates=0)
    add_tokens(so_far, SparseCodes.from_dense(_dense()[:0]), _documents()[:0], torch.zeros(0, 0))
    add_tokens(so_far, SparseCodes.from_dense(_dense()), _documents(), torch.zeros(_M, 0))
    assert so_far.counts.sum() == int((_dense() != 0).sum())
