"""The child of `probe`: takes a run's first steps, times them, and stops.

    python -m monoseme.planning._probe_run TASK.json

The run is stopped from its progress display, which is told of each step: nothing in the training loop knows of it.
"""

import contextlib
import dataclasses
import json
import math
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from monoseme.core.display import Progress, SilentDisplay, use_display
from monoseme.core.errors import MonosemeError
from monoseme.core.files import read_json, write_json
from monoseme.core.memory import memory_bytes_of

_FEWEST_STEPS = 8
_PATIENCE = 4
"""Times the wished length after which one log window must do."""


class _Enough(Exception):
    """The probe has seen what it wanted."""


class ProbeDisplay(SilentDisplay):
    """Shows nothing; ends the run at the end of a log window, when there were two and the time is over."""

    def __init__(self, bar: str, *, seconds: float, every: int) -> None:
        """`bar` is the progress that counts; `every` of its advances make a window."""
        self.began: float | None = None
        """When the first unit could start (perf_counter)."""
        self.done = 0
        """Units."""
        self.marks: list[tuple[float, int]] = []
        """Seconds since then, and units done, at each advance."""
        self.memory_bytes: int | None = None
        """Held when the run was stopped."""
        self._bar, self._seconds, self._every = bar, seconds, every

    @contextlib.contextmanager
    def progress(self, description: str, *, total: int | None, unit: str) -> Iterator[Progress]:
        """Counts the bar that was asked for."""
        del total, unit
        if description != self._bar:
            with SilentDisplay().progress(description, total=None, unit="") as bar:
                yield bar
            return
        self.began = time.perf_counter()
        yield self

    def advance(self, n: int = 1, **facts: str | float) -> None:
        """Counts; raises _Enough when there is enough."""
        del facts
        self.done += n
        if not n or self.began is None:
            return
        elapsed = time.perf_counter() - self.began
        self.marks.append((elapsed, self.done))
        self.memory_bytes = memory_bytes_of(os.getpid())
        windows, rest = divmod(len(self.marks), self._every)
        if not rest and elapsed >= self._seconds * (1 if windows >= 2 else _PATIENCE):
            raise _Enough

    def warn(self, text: str) -> None:
        """The real run will say it."""


def main() -> None:
    """Runs the task of the command line and writes the answer."""
    started = time.perf_counter() - time.process_time()
    task = json.loads(Path(sys.argv[1]).read_text())
    write_json(Path(task["answer"]), answer_of(task, started=started))


def answer_of(task: dict[str, Any], *, started: float) -> dict[str, Any]:
    """What the first steps of the task's run told, or the message of what it raised; `started` as of perf_counter."""
    from monoseme.kernels import choose_kernels

    try:
        with choose_kernels(task["kernels"]):
            return {"train": _train, "capture": _capture}[task["verb"]](task, started)
    except MonosemeError as error:
        return {"refused": str(error)}


def _train(task: dict[str, Any], started: float) -> dict[str, Any]:
    from monoseme.pipeline import RunConfig, run_config_from_dict, train_run
    from monoseme.training import read_metrics

    config = run_config_from_dict(task["config"])
    every = window_steps(config)
    train = dataclasses.replace(
        config.train,
        log_every=every,
        validate_every=every,
        checkpoint_every=every,
        checkpoint_at=(),
        early_stop_patience=None,
        trackers=(),
    )
    config = RunConfig.of(dataclasses.replace(config.settings, train=train), config.saes)
    folder = Path(task["folder"])
    display = ProbeDisplay("train", seconds=task["seconds"], every=every)
    with use_display(display), contextlib.suppress(_Enough):
        train_run(config, folder)
    states = sorted((folder / "training" / "checkpoints").glob("step_*/state.json"))
    return {
        "window_steps": every,
        "n_steps": display.done,
        "marks": display.marks,
        "batch_size": train.batch_size,
        "began": (display.began or started) - started,
        "stop_memory_bytes": display.memory_bytes,
        "rows": read_metrics(folder / "training" / "metrics.jsonl"),
        "seconds": read_json(states[-1])["seconds"],
        "checkpoint_bytes": sum(file.stat().st_size for file in states[-1].parent.iterdir()),
        "compiled_seconds": _compiled(),
        "device_peaks": _device_peaks(),
    }


def _capture(task: dict[str, Any], started: float) -> dict[str, Any]:
    from monoseme.activations.store.started import read_started
    from monoseme.core.config import from_dict
    from monoseme.core.folder import open_folder
    from monoseme.pipeline import CaptureConfig, capture_run

    config = from_dict(CaptureConfig, task["config"])
    display = ProbeDisplay("capture", seconds=task["seconds"], every=_FEWEST_STEPS)
    with use_display(display), contextlib.suppress(_Enough):
        capture_run(config, task["folder"])
    ended = time.perf_counter()
    told = read_started(open_folder(task["folder"]))
    return {
        "began": (display.began or started) - started,
        "marks": display.marks,
        "rest": ended - (display.began or started) - display.marks[-1][0],
        "finished": told is None,
        "stop_memory_bytes": display.memory_bytes,
        "sink_thresholds": None if told is None else told["measured"]["sink_thresholds"],
        "compiled_seconds": _compiled(),
        "device_peaks": _device_peaks(),
    }


def window_steps(config: Any) -> int:
    """Steps of a log window: some, and at least two blocks of the stream, so that each has its share of the model."""
    block_tokens = config.stream.contexts_per_block * config.corpus.context_len
    return min(config.train.steps, max(_FEWEST_STEPS, 2 * math.ceil(block_tokens / config.train.batch_size)))


def _compiled() -> float:
    from monoseme.kernels import compiled_so_far

    return compiled_so_far().seconds


def _device_peaks() -> dict[str, float]:
    """Bytes allocated at most on each CUDA device that was used."""
    import torch

    used = range(torch.cuda.device_count() if torch.cuda.is_initialized() else 0)
    return {f"cuda:{i}": float(torch.cuda.max_memory_allocated(i)) for i in used}


if __name__ == "__main__":
    main()
