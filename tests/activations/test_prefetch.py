"""Blocks made ahead are those of the source, as many as were asked for and no more, and errors come through."""

import itertools
import threading
from collections.abc import Sequence

import pytest
import torch

from monoseme.activations import Block, Cursor, PrefetchSource, View, ViewStream
from monoseme.core.errors import ConfigError
from monoseme.models.site import Site
from monoseme.tensors.shapes import Tensor
from monoseme.testing.sources import TensorSource, random_source

SITE = Site.parse("resid_post.0")


class Watched(TensorSource):
    """Says in which order blocks were made, and lets a test wait for it; a turned one is read backwards."""

    turned, broken = False, -1
    made: list[int]
    is_made: threading.Semaphore

    def order(self, seed: int, epoch: int) -> Tensor | None:  # pyright: ignore[reportIncompatibleMethodOverride]
        return torch.arange(self.n_blocks).flip(0) if self.turned else None

    def block(self, i: int) -> Block:
        if i == self.broken:
            raise OSError("the disk is gone")
        block = super().block(i)
        self.made.append(i)
        self.is_made.release()
        return block


@pytest.fixture
def source() -> Watched:
    base = random_source(sites=(SITE,), n_contexts=23, context_len=5, width=3)
    source = Watched({SITE: base._activations[SITE]}, mask=base._mask, documents=base._documents, contexts_per_block=2)
    source.made, source.is_made = [], threading.Semaphore(0)  # its own: the thread of an earlier test may still be at work
    return source


def _wait_for(source: Watched, n: int) -> list[int]:
    for _ in range(n):
        assert source.is_made.acquire(timeout=10)
    return list(source.made)


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("ahead", [1, 3, 100])
def test_reading_ahead_changes_neither_order_nor_bits(source: Watched, ahead: int, turned: bool) -> None:
    source.turned = turned
    plain = ViewStream(source, View(), batch_size=4)
    before = ViewStream(PrefetchSource(source, ahead=ahead), View(), batch_size=4)
    for left, right in itertools.islice(zip(plain, before, strict=True), 60):
        assert torch.equal(left.x, right.x)
        assert plain.cursor == before.cursor
    for stream in (plain, before):
        stream.seek(Cursor(0, 2, 1))
    assert torch.equal(next(iter(plain)).x, next(iter(before)).x)


@pytest.mark.parametrize(("foreseen", "expected"), [(None, [4, 5, 6]), ([9, 2, 7, 1], [4, 9, 2])])
def test_so_many_blocks_are_made_ahead_and_no_more(source: Watched, foreseen: Sequence[int] | None, expected: list[int]) -> None:
    prefetch = PrefetchSource(source, ahead=2)
    if foreseen is not None:
        prefetch.will_need(foreseen)
    prefetch.block(4)
    assert _wait_for(source, 3) == expected
    assert not source.is_made.acquire(timeout=0.05)
    prefetch.block(expected[1])
    assert _wait_for(source, 1)[:3] == expected


def test_a_block_that_was_made_ahead_is_not_made_again(source: Watched) -> None:
    stream = ViewStream(PrefetchSource(source, ahead=3), View(), batch_size=4, epochs=1)
    assert list(stream)
    assert source.made == list(range(source.n_blocks))


def test_errors_of_the_thread_come_when_their_block_is_asked_for(source: Watched) -> None:
    source.broken = 3
    prefetch = PrefetchSource(source, ahead=4)
    assert prefetch.block(1).index == 1
    assert prefetch.block(2).index == 2
    with pytest.raises(OSError, match="disk is gone"):
        prefetch.block(3)
    with pytest.raises(IndexError):
        prefetch.block(99)
    assert prefetch.block(4).index == 4


def test_at_least_one_block_is_made_ahead(source: Watched) -> None:
    with pytest.raises(ConfigError, match="0 blocks ahead"):
        PrefetchSource(source, ahead=0)
