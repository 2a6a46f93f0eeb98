"""What waits between the model and the disk is bounded in bytes, and neither side waits for one that has failed."""

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from tests.activations.store.supplies import FakeSupply, S

from monoseme.activations.store.channel import Channel, ChannelClosed
from monoseme.activations.store.shard_writer import NewShard, ShardKind, ShardWriter
from monoseme.core.errors import DiskFullError
from monoseme.core.folder import LocalFolder


def _in_thread(work: Callable[[], Any]) -> "Future[Any]":
    pool = ThreadPoolExecutor(1)
    future = pool.submit(work)
    pool.shutdown(wait=False)
    return future


def _is_waiting(future: "Future[Any]") -> bool:
    """Whether it is still at work after a moment that would do for a call that does not wait."""
    try:
        future.result(timeout=0.05)
    except TimeoutError:
        return True
    return False


def test_putting_waits_until_what_is_held_and_what_comes_fit() -> None:
    channel: Channel[str] = Channel(most_bytes=10)
    channel.put("a", 6)
    channel.put("b", 4)
    third = _in_thread(lambda: channel.put("c", 1))
    assert _is_waiting(third)
    assert channel.get() == "a"
    assert _is_waiting(third)  # it is being worked on, and so still in memory
    assert channel.get() == "b"
    third.result(timeout=5)
    assert channel.held_bytes == 5
    assert channel.get() == "c"


def test_a_thing_larger_than_the_channel_passes_alone() -> None:
    channel: Channel[str] = Channel(most_bytes=10)
    channel.put("large", 100)
    second = _in_thread(lambda: channel.put("small", 1))
    assert _is_waiting(second)
    assert channel.get() == "large"
    assert _is_waiting(second)
    getting = _in_thread(channel.get)  # done with the large one
    second.result(timeout=5)
    assert getting.result(timeout=5) == "small"


def test_what_was_put_before_the_end_is_still_got_unless_it_is_dropped() -> None:
    for drop in (False, True):
        channel: Channel[str] = Channel(most_bytes=10)
        channel.put("a", 1)
        channel.close(drop=drop)
        if not drop:
            assert channel.get() == "a"
        with pytest.raises(ChannelClosed):
            channel.get()


def test_a_failure_wakes_who_waits_to_put_and_meets_who_comes_later() -> None:
    channel: Channel[str] = Channel(most_bytes=10)
    channel.put("a", 10)
    waiting = _in_thread(lambda: channel.put("b", 10))
    assert _is_waiting(waiting)
    channel.fail(DiskFullError("full"))
    with pytest.raises(DiskFullError):
        waiting.result(timeout=5)
    with pytest.raises(DiskFullError):
        channel.put("c", 0)


class _SlowFolder(LocalFolder):
    """A disk that writes nothing of vectors until it is allowed to."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.allowed = threading.Event()

    def create(self, name: str) -> Any:
        if "text" not in name:
            self.allowed.wait(20)
        return super().create(name)


def _kind(supply: FakeSupply) -> ShardKind:
    return ShardKind(widths=supply.widths, dtype="float32", context_len=S, has_text=True, sink_thresholds={})


def test_the_model_waits_for_a_slow_disk_instead_of_filling_the_memory(tmp_path: Path) -> None:
    supply, folder = FakeSupply(9), _SlowFolder(tmp_path)
    texts = [supply.text(i) for i in range(8)]
    of_block = 3 * S * (5 + 7) * 4
    handed: list[int] = []
    with ShardWriter(folder, _kind(supply), most_bytes=3 * of_block) as writer:

        def hand_over() -> None:
            writer.begin(NewShard(number=0, texts=texts, heldout=[False] * 8))
            for i, text in enumerate(texts):
                writer.add(supply.vectors(i, text))
                handed.append(i)

        model = _in_thread(hand_over)
        assert _is_waiting(model)
        assert handed == [0, 1, 2]
        folder.allowed.set()
        model.result(timeout=20)
    assert handed == list(range(8))
    assert "shards/00000.json" in folder.names()


def test_an_error_of_the_thread_meets_the_caller_at_the_next_block(tmp_path: Path) -> None:
    class Broken(LocalFolder):
        def create(self, name: str) -> Any:
            raise DiskFullError("the disk is full")

    supply = FakeSupply(100)
    texts = [supply.text(i) for i in range(99)]
    n_added = 0
    with pytest.raises(DiskFullError), ShardWriter(Broken(tmp_path), _kind(supply), most_bytes=1) as writer:
        writer.begin(NewShard(number=0, texts=texts, heldout=[False] * 99))
        for i, text in enumerate(texts):
            writer.add(supply.vectors(i, text))
            n_added += 1
    assert n_added <= 1


def test_leaving_early_leaves_no_half_shard(tmp_path: Path) -> None:
    supply = FakeSupply(4)
    texts = [supply.text(i) for i in range(2)]
    with ShardWriter(LocalFolder(tmp_path), _kind(supply)) as writer:
        writer.begin(NewShard(number=0, texts=texts, heldout=[False, False]))
        writer.add(supply.vectors(0, texts[0]))
    assert not [p for p in tmp_path.rglob("*") if p.is_file()]
