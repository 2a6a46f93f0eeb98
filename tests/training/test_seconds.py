"""The seconds of a run are split into parts that add up to the whole."""

from pathlib import Path
from types import ModuleType

import pytest

from monoseme.activations import SourceSeconds
from monoseme.training.seconds import Seconds

SPENT = Seconds(reading=1.0, model=8.0, stream=10.0, saes=5.0, starting=0.5, validation=2.0, checkpoints=0.25, total=20.0)


def test_the_parts_add_up_to_the_total() -> None:
    parts = {part.name: part for part in SPENT.parts(1000)}
    assert sum(part.seconds for part in parts.values()) == pytest.approx(20.0)
    assert sum(part.share for part in parts.values()) == pytest.approx(1.0)
    assert parts["shuffling"].seconds == pytest.approx(1.0)
    assert parts["other"].seconds == pytest.approx(2.25)
    assert parts["model"].tokens_per_second == pytest.approx(125.0)


def test_with_blocks_made_ahead_only_the_waiting_is_on_the_clock() -> None:
    ahead = Seconds(reading=1.0, model=18.0, waiting=3.0, stream=4.0, saes=15.0, total=20.0)
    parts = {part.name: part.seconds for part in ahead.parts(1000)}
    assert "model" not in parts
    assert parts["waiting for the model"] == 3.0
    assert sum(parts.values()) == pytest.approx(20.0)


def test_a_part_without_time_has_no_rate() -> None:
    assert {part.tokens_per_second for part in Seconds().parts(1000)} == {None}


def test_what_a_source_spent_between_two_moments_is_counted() -> None:
    seconds = Seconds()
    seconds.add_source(SourceSeconds(1.0, 2.0), SourceSeconds(1.5, 4.0))
    assert (seconds.reading, seconds.model, seconds.waiting) == (0.5, 2.0, None)
    seconds.add_source(SourceSeconds(waiting=1.0), SourceSeconds(waiting=1.25))
    assert seconds.waiting == 0.25


def test_seconds_of_an_older_checkpoint_are_read() -> None:
    assert Seconds.from_json({"model": 1.0, "stream": 2.0, "total": 3.0}) == Seconds(model=1.0, stream=2.0, total=3.0)


def test_a_run_counts_its_parts(tiny: ModuleType, tmp_path: Path) -> None:
    seconds = tiny.tiny_run(tmp_path, names=("one",)).seconds
    assert min(seconds.saes, seconds.starting, seconds.validation, seconds.checkpoints) > 0
    parts = seconds.parts(13 * tiny.B)
    assert sum(part.seconds for part in parts) == pytest.approx(seconds.total)
    assert parts[-1].seconds < 0.5 * seconds.total, "most of the time has a name"
