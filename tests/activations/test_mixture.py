"""A mixture has blocks of every source in its proportion at any moment, and each source's blocks equally often."""

from collections import Counter

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from monoseme.activations import MixtureSource, MultiStream, StreamCursor, StreamRequest, View
from monoseme.activations.block_order import drawn_order
from monoseme.core.errors import ConfigError, SiteError
from monoseme.models.site import Site
from monoseme.tensors.shapes import Tensor
from monoseme.testing.sources import TensorSource

SITE, OTHER = Site.parse("resid_post.0"), Site.parse("mlp_out.0")


class Stored(TensorSource):
    """Can be read in any order, like stored activations."""

    any_order = True

    def order(self, seed: int, epoch: int) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        return drawn_order(self.n_blocks, seed=seed, epoch=epoch)


def _source(number: int, n_blocks: int, *, width: int = 3, site: Site = SITE) -> Stored:
    """Block b of source s holds contexts of 5 tokens with the id 1000 s + b."""
    tokens = (1000 * number + torch.arange(n_blocks)).repeat_interleave(2).unsqueeze(1).expand(2 * n_blocks, 5)
    return Stored({site: torch.zeros(2 * n_blocks, 5, width)}, tokens=tokens.contiguous(), contexts_per_block=2)


def _names(source: MixtureSource, order: Tensor | None = None) -> list[tuple[int, int]]:
    numbers = range(source.n_blocks) if order is None else order.tolist()
    return [divmod(int(source.block(i).tokens[0, 0]), 1000) for i in numbers]


@given(
    sizes=st.lists(st.integers(1, 9), min_size=2, max_size=3),
    shares=st.lists(st.sampled_from([0.05, 0.3, 1.0, 2.0, 7.0]), min_size=3, max_size=3),
    epoch=st.integers(0, 2),
)
def test_proportions_hold_at_every_moment_and_passes_are_whole(sizes: list[int], shares: list[float], epoch: int) -> None:
    mixture = MixtureSource([_source(s, n) for s, n in enumerate(sizes)], shares[: len(sizes)])
    for found in (_names(mixture), _names(mixture, mixture.order(5, epoch))):
        counts = Counter[int]()
        for i, (source, _) in enumerate(found, start=1):
            counts[source] += 1
            assert all(abs(counts[s] - mixture.weights[s] * i) <= 1.0 + 1e-9 for s in range(len(sizes)))
        by_block = Counter(found)
        for s, n_blocks in enumerate(sizes):
            often = [by_block[s, b] for b in range(n_blocks)]
            assert min(often) >= (1 if counts[s] >= n_blocks else 0)
            assert max(often) - min(often) <= 1


def test_without_weights_every_block_comes_once() -> None:
    mixture = MixtureSource([_source(0, 3), _source(1, 7), _source(2, 11)])
    assert mixture.n_blocks == 21
    assert sorted(_names(mixture)) == [(s, b) for s, n in ((0, 3), (1, 7), (2, 11)) for b in range(n)]


def test_a_small_source_is_repeated_in_new_orders() -> None:
    mixture = MixtureSource([_source(0, 5), _source(1, 20)], [1, 1])
    small = [b for s, b in _names(mixture) if s == 0]
    passes = [small[i : i + 5] for i in range(0, 20, 5)]
    assert all(sorted(one) == [0, 1, 2, 3, 4] for one in passes)
    assert len(set(map(tuple, passes))) > 1
    assert _names(mixture) == _names(MixtureSource([_source(0, 5), _source(1, 20)], [2, 2]))
    assert _names(mixture) != _names(MixtureSource([_source(0, 5), _source(1, 20)], [1, 1], seed=1))


def test_orders_differ_by_seed_and_epoch() -> None:
    mixture = MixtureSource([_source(0, 5), _source(1, 20)], [1, 3])
    orders = [mixture.order(seed, epoch).tolist() for seed, epoch in ((0, 0), (0, 1), (1, 0))]
    assert len(set(map(tuple, orders))) == 3
    assert all(sorted(order) == list(range(mixture.n_blocks)) for order in orders)


def test_a_stream_over_a_mixture_resumes_to_the_bit() -> None:
    def fresh() -> MultiStream:
        mixture = MixtureSource([_source(0, 5), _source(1, 9)], [1, 1])
        return MultiStream(mixture, [StreamRequest(view=View(), sites=(SITE,), batch_size=7)], window=4)

    whole = fresh()
    for _ in range(31):  # into the second epoch: one has 180 tokens
        whole.next_step()
    resumed = fresh()
    resumed.seek(StreamCursor.from_json(whole.cursor.to_json()))
    for _ in range(9):
        left, right = whole.next_step(), resumed.next_step()
        assert left is not None
        assert right is not None
        assert torch.equal(left[0].tokens, right[0].tokens)


def test_what_cannot_be_mixed_is_refused() -> None:
    one = _source(0, 3)
    with pytest.raises(ConfigError, match="two sources or more"):
        MixtureSource([one])
    with pytest.raises(ConfigError, match="takes stored activations"):
        MixtureSource([one, TensorSource({SITE: torch.zeros(2, 5, 3)})])
    for weights in ([1.0], [1.0, 0.0], [1.0, float("inf")]):
        with pytest.raises(ConfigError, match="one above 0 for each"):
            MixtureSource([one, one], weights)
    for weights in ([1e300, 1e-300], [1e-9, 1.0], [1e-200, 1e200]):
        with pytest.raises(ConfigError, match=rf"source {int(weights[0] > 1)} would not be gone through within 1,000,000 blocks"):
            MixtureSource([one, one], weights)
    assert MixtureSource([one, one], [1e308, 1e308]).weights == (0.5, 0.5)
    with pytest.raises(SiteError, match=r"'resid_post\.0': 3.*'resid_post\.0': 4"):
        MixtureSource([one, _source(1, 3, width=4)])
    with pytest.raises(SiteError, match=r"mlp_out\.0"):
        MixtureSource([one, _source(1, 3, site=OTHER)])


def test_a_mixture_tells_what_it_is_of() -> None:
    mixture = MixtureSource([_source(0, 3), _source(1, 9)], [3, 1], seed=4)
    assert mixture.spec["weights"] == [0.75, 0.25]
    assert mixture.spec["seed"] == 4
    assert [source["shape"] for source in mixture.spec["sources"]] == [[6, 5], [18, 5]]
