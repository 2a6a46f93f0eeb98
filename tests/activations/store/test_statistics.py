"""Statistics of a store equal their definitions over all its rows, however the rows were divided."""

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from monoseme.activations.store.encode import decode, encode
from monoseme.activations.store.measured import StoreStatistics
from monoseme.activations.store.merge import merged
from monoseme.activations.store.statistics import ShardStatistics, SiteRows, no_statistics
from monoseme.core.errors import SiteError, UndefinedMetricError
from monoseme.models.site import Site
from monoseme.saes._normalise import NormaliseConfig, measure_scale
from monoseme.text.block import TokenBlock

_S = 11
_WIDTHS = {Site.parse("resid_post.0"): 7, Site.parse("mlp_out.1"): 13}
_A, _B = _WIDTHS
# Float64 sums of a few hundred numbers in another order: thousands of roundings.
_CLOSE = {"rtol": 1e-11, "atol": 1e-11}


def _text(n: int, *, seed: int = 0, first_document: int = 0) -> TokenBlock:
    stream = torch.Generator().manual_seed(seed)
    real = torch.ones(n, _S, dtype=torch.bool)
    real[::3, 8:] = False
    mask = real & (torch.rand(n, _S, generator=stream) < 0.8)
    mask[:, 0] = False
    documents = torch.arange(first_document, first_document + n).unsqueeze(1).expand(n, _S).where(real, -1)
    return TokenBlock(
        tokens=torch.randint(0, 97, (n, _S), generator=stream),
        mask=mask,
        real=real,
        documents=documents,
        sources=documents,
        positions=(torch.arange(_S) - 1).expand(n, _S),
        roles=torch.zeros(n, _S, dtype=torch.int8),
        turns=torch.zeros(n, _S, dtype=torch.int16),
    )


def _vectors(text: TokenBlock, *, seed: int = 0, offset: float = 3.0) -> dict[Site, torch.Tensor]:
    stream = torch.Generator().manual_seed(seed + 1000)
    n_rows = int(text.real.sum())
    return {site: torch.randn(n_rows, width, generator=stream) + offset for site, width in _WIDTHS.items()}


def _rows(vectors: dict[Site, torch.Tensor], dtype: str = "bfloat16") -> dict[Site, SiteRows]:
    return {site: SiteRows(x, encode(x, dtype)) for site, x in vectors.items()}


def _measured(blocks, *, dtype="bfloat16", thresholds=None, shard=0) -> ShardStatistics:
    statistics = ShardStatistics(_WIDTHS, _S, thresholds or {}, shard=shard)
    for text, vectors in blocks:
        statistics.add(text, _rows(vectors, dtype))
    return statistics


def _blocks(n_blocks: int = 3, *, offset: float = 3.0):
    texts = [_text(5, seed=i, first_document=5 * i) for i in range(n_blocks)]
    return [(text, _vectors(text, seed=i, offset=offset)) for i, text in enumerate(texts)]


def _seen(blocks, site: Site) -> torch.Tensor:
    return torch.cat([vectors[site][text.mask[text.real]] for text, vectors in blocks]).double()


def _read(statistics: ShardStatistics) -> StoreStatistics:
    return StoreStatistics.of(statistics.tensors())


@pytest.mark.parametrize("offset", [0.0, 3.0, 1e5])
def test_moments_equal_their_definitions(offset: float):
    blocks = _blocks(offset=offset)
    found = _read(_measured(blocks))
    for site in _WIDTHS:
        x = _seen(blocks, site)
        assert found.n(site) == len(x)
        torch.testing.assert_close(found.mean(site), x.mean(0), **_CLOSE)
        torch.testing.assert_close(found.variance(site), x.var(0, unbiased=False), rtol=1e-9, atol=0)
        torch.testing.assert_close(found.second_moment(site), x.square().mean(0), **_CLOSE)


def test_vectors_that_are_all_equal_have_no_variance():
    text = _text(5)
    x = torch.full((int(text.real.sum()), 7), 0.1) * torch.arange(1, 8)
    found = _read(_measured([(text, {_A: x, _B: torch.ones(len(x), 13)})]))
    assert found.variance(_A).max() < 1e-30
    assert found.storage_error(_B).fvu is None


def test_norm_factors_are_those_that_an_sae_measures():
    blocks = _blocks()
    found = _read(_measured(blocks))
    for site in _WIDTHS:
        x = _seen(blocks, site)
        unit = measure_scale(NormaliseConfig(kind="unit_mean_square"), x)
        assert found.norm_factor(site) == pytest.approx(unit, rel=1e-12)
        # A norm is kept in float32.
        inverse = measure_scale(NormaliseConfig(kind="inverse_mean_norm"), x)
        assert found.inverse_mean_norm(site) == pytest.approx(inverse, rel=1e-7)


def test_norms_by_place_count_what_is_seen_and_what_is_real():
    blocks = _blocks(1)
    text, vectors = blocks[0]
    found = _read(_measured(blocks)).place_norms(_A)
    norms = torch.full((5, _S), torch.nan, dtype=torch.float64)
    norms[text.real] = vectors[_A].double().norm(dim=1)
    np.testing.assert_allclose(found.real, norms.nanmean(0).numpy(), rtol=1e-6)
    np.testing.assert_allclose(found.seen, norms.where(text.mask, torch.nan).nanmean(0).numpy(), rtol=1e-6)
    assert math.isnan(found.seen[0])


@pytest.mark.parametrize("q", [0.0, 0.25, 0.5, 0.9, 1.0])
def test_quantiles_of_norms_are_within_their_resolution(q: float):
    blocks = _blocks()
    norms = _seen(blocks, _A).norm(dim=1).sort().values
    exact = float(norms[max(0, math.ceil(q * len(norms)) - 1)])
    assert _read(_measured(blocks)).norm_quantile(_A, q) == pytest.approx(exact, rel=0.0161)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16", "int8"])
def test_the_error_of_storage_is_what_reading_back_would_find(dtype: str):
    blocks = _blocks()
    found = _read(_measured(blocks, dtype=dtype)).storage_error(_A)
    kept = [(text.mask[text.real], vectors[_A], encode(vectors[_A], dtype)) for text, vectors in blocks]
    gaps = [((x.double() - decode(stored.x, stored.scale).double())[mask]).square().sum() for mask, x, stored in kept]
    x = _seen(blocks, _A)
    assert found.squares == pytest.approx(float(sum(gaps)), rel=1e-12)
    assert found.fvu == pytest.approx(float(sum(gaps)) / float((x - x.mean(0)).square().sum()), rel=1e-9)
    assert (found.squares == 0) == (dtype == "float32")


def test_sinks_at_any_site_are_not_seen_at_any():
    text, vectors = _blocks(1)[0]
    places = text.mask.nonzero()
    chosen, other = places[4], places[9]
    index = torch.full((5, _S), -1)
    index[text.real] = torch.arange(int(text.real.sum()))
    vectors[_A][index[tuple(chosen)]] *= 100
    vectors[_B][index[tuple(other)]] *= 100
    found = _read(_measured([(text, vectors)], thresholds={str(_A): 50.0, str(_B): 60.0}))
    n = int(text.mask.sum())
    assert (found.n_masked, found.n_sinks, found.n(_A), found.n(_B)) == (n, 2, n - 2, n - 2)
    at = found.sinks(_A)
    assert (at.threshold, at.n, at.n_by_place.tolist()) == (50.0, 1, [int(s == chosen[1]) for s in range(_S)])
    assert at.longest.token.tolist() == [int(text.tokens[tuple(chosen)])]
    assert at.longest.document.tolist() == [int(text.documents[tuple(chosen)])]
    assert at.longest.position.tolist() == [int(chosen[1]) - 1]
    seen = text.mask[text.real].clone()
    seen[index[tuple(chosen)]] = seen[index[tuple(other)]] = False
    torch.testing.assert_close(found.mean(_B), vectors[_B][seen].double().mean(0), **_CLOSE)


def test_of_many_sinks_the_longest_are_listed_and_ties_go_to_the_first():
    text = _text(13)
    x = torch.ones(int(text.real.sum()), 7) * 9
    x[17] = 10
    found = _measured([(text, {_A: x, _B: torch.ones(len(x), 13)})], thresholds={str(_A): 1.0})
    listed = StoreStatistics.of(found.tensors()).sinks(_A).longest
    places = text.mask.nonzero()
    # An image of the rule: longest first, then by document and position.
    in_order = [tuple(place) for place in places.tolist()]
    rows = {tuple(place): i for i, place in enumerate(text.real.nonzero().tolist())}
    in_order.sort(key=lambda place: (-float(x[rows[place]].norm()), place))
    assert [(int(d), int(p)) for d, p in zip(listed.document, listed.place, strict=True)] == in_order[:64]


def test_vectors_that_are_not_finite_are_counted_and_left_out():
    text, vectors = _blocks(1)[0]
    row = int(text.mask[text.real].nonzero()[3])
    rows = _rows(vectors)
    broken = vectors[_A].clone()
    broken[row, 2] = torch.nan
    rows[_A] = SiteRows(broken, rows[_A].stored._replace(norm=broken.norm(dim=1)))
    statistics = ShardStatistics(_WIDTHS, _S, {}, shard=0)
    statistics.add(text, rows)
    found = _read(statistics)
    assert (found.n_not_finite(_A), found.n(_A), found.n(_B)) == (1, found.n_masked - 1, found.n_masked)
    assert found.mean(_A).isfinite().all()


@settings(deadline=None, max_examples=25)  # the first call compiles
@given(cuts=st.lists(st.integers(0, 4), max_size=3))
def test_shards_merged_in_order_equal_the_whole(cuts: list[int]):
    blocks = _blocks(4)
    edges = [0, *sorted(cuts), 4]
    parts = [_measured(blocks[a:b], shard=i) for i, (a, b) in enumerate(itertools.pairwise(edges))]
    arrays = StoreStatistics.of(parts[0].tensors())._arrays
    for part in parts[1:]:
        arrays = merged(arrays, {key: value.numpy() for key, value in part.tensors().items()})
    both, whole = StoreStatistics(arrays), _read(_measured(blocks))
    for site in _WIDTHS:
        assert both.n(site) == whole.n(site)
        torch.testing.assert_close(both.mean(site), whole.mean(site), **_CLOSE)
        torch.testing.assert_close(both.variance(site), whole.variance(site), **_CLOSE)
        assert both.norm_quantile(site, 0.5) == whole.norm_quantile(site, 0.5)
        assert both.storage_error(site).squares == pytest.approx(whole.storage_error(site).squares, rel=1e-12)
    assert np.array_equal(arrays["sample.hash"], whole._arrays["sample.hash"])


def test_a_store_of_nothing_has_the_arrays_of_any_store():
    none, some = no_statistics(_WIDTHS, _S), _measured(_blocks()).tensors()
    assert {key: (value.dtype, value.shape) for key, value in none.items()} == {
        key: (value.dtype, value.shape) for key, value in some.items()
    }
    found = StoreStatistics.of(none)
    assert (found.n(_A), len(found.sinks(_A).longest.norm), found.norm_quantile(_A, 0.5)) == (0, 0, None)
    with pytest.raises(UndefinedMetricError, match="no token"):
        found.mean(_A)


def test_a_site_that_was_not_captured_is_named():
    with pytest.raises(SiteError, match=r"resid_post\.9"):
        _read(_measured(_blocks(1))).mean("resid_post.9")
