"""A probe takes the first steps of the real run in a process of its own, and leaves nothing."""

import json
import time
from pathlib import Path
from typing import Any

import pytest

from monoseme.core.errors import ConfigError
from monoseme.pipeline import RunConfig
from monoseme.planning._probe_run import ProbeDisplay, _Enough, answer_of, window_steps
from monoseme.planning.capture_plan import capture_rate
from monoseme.planning.probe import told
from monoseme.planning.speed import _checkpoint, training_speed
from tests.planning.conftest import task_of


def test_a_probe_times_the_run(config: RunConfig, tmp_path: Path) -> None:
    # In this process; `plan train` in tests/cli starts one of its own.
    facts = answer_of(task_of(config) | {"folder": str(tmp_path / "a")}, started=time.perf_counter())
    assert facts["n_steps"] == config.train.steps
    speed = training_speed(facts)
    assert speed.step > 0
    assert speed.step_model <= speed.step_stream
    assert speed.validation is not None
    assert facts["device_peaks"] == {}


def test_what_the_user_can_mend_is_the_answer(config: RunConfig, tmp_path: Path) -> None:
    task = task_of(config, sites=["resid_post.99"]) | {"folder": str(tmp_path / "a")}
    answer = tmp_path / "answer.json"
    answer.write_text(json.dumps(answer_of(task, started=time.perf_counter())))
    with pytest.raises(ConfigError, match="99"):
        told(answer, tmp_path / "errors.txt", code=0, peak_bytes=None)


@pytest.mark.parametrize(
    ("code", "errors", "why"),
    [(-9, "", "for want of memory"), (1, "one\nBoom: two\n", "the probe failed: Boom: two"), (3, "", "exit code 3")],
)
def test_a_probe_that_died_says_why(code: int, errors: str, why: str, tmp_path: Path) -> None:
    (tmp_path / "errors.txt").write_text(errors)
    result = told(tmp_path / "answer.json", tmp_path / "errors.txt", code=code, peak_bytes=5.0)
    assert result.facts is None
    assert why in result.why_missing


def test_a_run_is_stopped_at_the_end_of_a_window_when_the_time_is_over() -> None:
    display = ProbeDisplay("train", seconds=0.0, every=3)
    with display.progress("train", total=None, unit="steps") as bar:
        bar.advance(0)
        for _ in range(2):
            bar.advance(1)
        with pytest.raises(_Enough):
            bar.advance(1)
    assert display.done == 3


def test_other_progress_is_not_counted() -> None:
    display = ProbeDisplay("train", seconds=0.0, every=1)
    with display.progress("tokenise", total=None, unit="tokens") as bar:
        for _ in range(10):
            bar.advance(1)
    assert display.began is None


def test_a_window_has_two_blocks_of_the_stream(config: RunConfig) -> None:
    # blocks of 8 x 32 positions in batches of 96: three steps each, and no fewer than eight
    assert window_steps(config) == 8


def test_speed_leaves_out_the_first_window() -> None:
    def row(step: int, model: float) -> dict[str, Any]:
        seconds = {"seconds_model": model, "seconds_stream": model, "seconds_sae": 2.0}
        return {"step": step, "sae": "a", "tokens_per_second": 8 * 10 / (model + 2.0 + 0.8), **seconds}

    facts = {
        "rows": [row(8, 100.0), row(16, 4.0), {"step": 16, "event": "latents"}],
        "seconds": {"starting": 3.0, "validation": 1.0, "checkpoints": 0.5},
        "window_steps": 8,
        "n_steps": 16,
        "marks": [(float(i + 1), i + 1) for i in range(16)],
        "batch_size": 10,
        "began": 7.0,
        "compiled_seconds": 1.0,
        "checkpoint_bytes": 100,
    }
    speed = training_speed(facts)
    assert (speed.step_model, speed.step_saes) == (0.5, 0.25)
    assert speed.log == pytest.approx(0.8)
    assert (speed.loading, speed.starting, speed.validation, speed.checkpoint) == (4.0, 2.0, 0.5, 0.5)


def test_the_rate_of_a_capture_is_between_blocks() -> None:
    assert capture_rate([(5.0, 100), (5.5, 200), (6.0, 300), (7.0, 500)]) == 200


def test_a_single_checkpoint_is_what_its_step_took_longer() -> None:
    marks = [(1.0, 1), (2.0, 2), (3.0, 3), (7.5, 4)]
    assert _checkpoint({"seconds": {"checkpoints": 0.0, "validation": 1.5}, "marks": marks}, 1) == 2.0
    assert _checkpoint({"seconds": {"checkpoints": 0.0, "validation": 1.5}, "marks": marks}, 0) is None
