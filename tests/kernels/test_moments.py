"""Sums over kept rows equal their definitions in float64, by compiled loops and by torch."""

import math

import numpy as np
import pytest
import torch

from monoseme.kernels import moments, row_norms
from monoseme.kernels.moments import RowSums, Stored, add_rows
from monoseme.kernels.row_norms import NormSpread, add_norms, mark_longer

_R, _D, _S = 101, 7, 11
_KEPT = torch.tensor([i for i in range(_R) if i % 3])
# A few hundred float64 additions in two orders.
_CLOSE = {"rtol": 1e-12, "atol": 1e-12}


@pytest.fixture(params=["loops", "torch"], autouse=True)
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both ways of doing each sum."""
    if request.param == "torch":
        monkeypatch.setattr(moments, "_has_loops", lambda *_: False)
        monkeypatch.setattr(row_norms, "_has_loops", lambda: False)
    return request.param


def _x(seed: int = 0) -> torch.Tensor:
    return torch.randn(_R, _D, generator=torch.Generator().manual_seed(seed)) * 3 + torch.arange(_D)


def _stored(x: torch.Tensor, kind: str) -> Stored:
    if kind == "int8":
        scale = x.abs().amax(1) / 127
        return Stored((x / scale.unsqueeze(1)).round().to(torch.int8), scale)
    return Stored(x.to(getattr(torch, kind)))


def _decoded(stored: Stored) -> torch.Tensor:
    x = stored.x.float()
    return (x if stored.scale is None else x * stored.scale.unsqueeze(1)).double()


@pytest.mark.parametrize("kind", [None, "bfloat16", "float16", "int8", "float32"])
def test_kept_rows_are_summed(kind: str | None):
    x = _x()
    stored = None if kind is None else _stored(x + 0.01, kind)
    about = np.linspace(-1, 2, _D)
    sums = RowSums.zero(about)
    for part in _KEPT.split(40):
        add_rows(sums, x, part, stored)
    gaps = x[_KEPT].double().numpy() - about
    np.testing.assert_allclose(sums.sums, gaps.sum(0), **_CLOSE)
    np.testing.assert_allclose(sums.squares, (gaps**2).sum(0), **_CLOSE)
    lost = 0.0 if stored is None else float((x.double() - _decoded(stored))[_KEPT].square().sum())
    np.testing.assert_allclose(sums.lost, [lost], **_CLOSE)


def test_rows_of_any_float_type_are_summed():
    x = _x().bfloat16()
    sums = RowSums.zero(np.zeros(_D))
    add_rows(sums, x, _KEPT, Stored(x))
    np.testing.assert_allclose(sums.sums, x[_KEPT].double().sum(0).numpy(), **_CLOSE)
    assert sums.lost[0] == 0


def test_rows_that_do_not_lie_together_are_summed():
    x = _x().t().contiguous().t()
    sums = RowSums.zero(np.zeros(_D))
    add_rows(sums, x, _KEPT)
    np.testing.assert_allclose(sums.sums, x[_KEPT].double().sum(0).numpy(), **_CLOSE)


def test_an_offset_of_a_million_deviations_costs_no_precision():
    x = (_x() + 3e6).double()
    x = x.float()
    about = x[:50].double().mean(0).numpy()
    sums = RowSums.zero(about)
    add_rows(sums, x, _KEPT)
    n = len(_KEPT)
    variance = sums.squares / n - (sums.sums / n) ** 2
    np.testing.assert_allclose(variance, x[_KEPT].double().var(0, unbiased=False).numpy(), rtol=1e-10)


def _spread() -> NormSpread:
    return NormSpread.zero(n_bins=64, n_places=_S, shift=21, first=(127 - 8) << 2)


def test_norms_are_counted_by_bin_and_place():
    norms = _x().norm(dim=1)
    norms[4], norms[5], norms[6] = math.nan, math.inf, 1e30
    norms[7] = 0
    seen = torch.arange(_R) % 3 > 0
    place = torch.arange(_R) % _S
    spread = _spread()
    kept = add_norms(spread, norms, seen, place)
    finite = norms.isfinite()
    assert kept.tolist() == (seen & finite).nonzero().squeeze(1).tolist()
    assert spread.n_not_finite.tolist() == [int((seen & ~finite).sum())] == [2]
    for i, rows in enumerate((seen & finite, finite)):
        assert spread.place_n[i].tolist() == [int((rows & (place == s)).sum()) for s in range(_S)]
        expected = [float(norms[rows & (place == s)].double().sum()) for s in range(_S)]
        np.testing.assert_allclose(spread.place_sums[i], expected, **_CLOSE)
    # Four bins to a power of two, from 2^-8: the ends hold what is beyond them.
    edges = [2.0 ** (b // 4 - 8) * (1 + b % 4 / 4) for b in range(64)]
    for b in range(64):
        above = norms[kept] >= (0 if b == 0 else edges[b])
        below = norms[kept] < (math.inf if b == 63 else edges[b + 1])
        assert spread.bins[b] == int((above & below).sum())


def test_longer_rows_are_marked_where_the_mask_is_set():
    norms = torch.tensor([1.0, 5.0, 5.0, math.nan, math.inf, 7.0])
    mask = torch.tensor([True, True, False, True, True, True])
    any_site = torch.tensor([True, False, False, False, False, False])
    found = mark_longer(norms, 4.0, mask, any_site)
    assert (found.marked.tolist(), found.n) == ([False, True, False, False, False, True], 2)
    assert any_site.tolist() == [True, True, False, False, False, True]


def test_no_rows_add_nothing(way: str):
    del way
    sums, spread = RowSums.zero(np.ones(_D)), _spread()
    none = torch.zeros(0, dtype=torch.int64)
    add_rows(sums, _x(), none, Stored(_x()))
    kept = add_norms(spread, torch.zeros(0), torch.zeros(0, dtype=torch.bool), none)
    assert (sums.sums.tolist(), sums.lost.tolist(), kept.tolist(), spread.bins.sum()) == ([0] * _D, [0], [], 0)
