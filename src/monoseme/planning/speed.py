"""What a probe of training measured, as seconds of each thing that a run does; its first log window, the warm-up, is left out."""

import itertools
from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any, NamedTuple


class TrainingSpeed(NamedTuple):
    """Seconds of the parts of a run on this machine."""

    loading: float
    """Before the first step: imports, model, first text; without what SAEs start from and without compiling."""
    starting: float
    """What SAEs start from."""
    compiling: float
    """Of kernels, once on a machine: kept for later runs, and so in no total."""
    step_model: float
    """Of a step: waiting for text and in the language model."""
    step_stream: float
    """Of a step: all of the stream, the model's part included."""
    step_saes: float
    log: float
    """A row of metrics, and of the latents."""
    validation: float | None
    checkpoint: float | None
    checkpoint_bytes: int
    batch_size: int

    @property
    def step(self) -> float:
        """One step, without logs, validations and checkpoints."""
        return self.step_stream + self.step_saes


def training_speed(facts: Mapping[str, Any]) -> TrainingSpeed:
    """The speeds in what the child of a probe wrote."""
    seconds, compiling = facts["seconds"], facts["compiled_seconds"]
    windows = _windows(facts["rows"], every=facts["window_steps"], batch_size=facts["batch_size"])
    n_validations = facts["n_steps"] // facts["window_steps"]
    return TrainingSpeed(
        loading=max(0.0, facts["began"] - seconds["starting"]),
        starting=max(0.0, seconds["starting"] - compiling),
        compiling=compiling,
        step_model=_typical(windows, "model"),
        step_stream=_typical(windows, "stream"),
        step_saes=_typical(windows, "saes"),
        log=max(0.0, _typical(windows, "other")) * facts["window_steps"],
        validation=seconds["validation"] / n_validations if n_validations else None,
        checkpoint=_checkpoint(facts, n_validations),
        checkpoint_bytes=facts["checkpoint_bytes"],
        batch_size=facts["batch_size"],
    )


def _checkpoint(facts: Mapping[str, Any], n: int) -> float | None:
    """Seconds of one of n. None is told of the last one, which is written before it knows: a single one is what its step took
    longer than others, without the validation."""
    seconds, times = facts["seconds"], [0.0, *(elapsed for elapsed, _ in facts["marks"])]
    if n > 1:
        return seconds["checkpoints"] / (n - 1)
    steps = [later - earlier for earlier, later in itertools.pairwise(times)]
    return max(0.0, steps[-1] - median(steps) - seconds["validation"]) if n == 1 else None


def _windows(rows: Sequence[Mapping[str, Any]], *, every: int, batch_size: int) -> list[dict[str, float]]:
    """Seconds of one step by part, for each log window."""
    steps = sorted({row["step"] for row in rows if "tokens_per_second" in row})
    found: list[dict[str, float]] = []
    for step in steps:
        own = [row for row in rows if row["step"] == step and "tokens_per_second" in row]
        whole = batch_size / own[0]["tokens_per_second"]
        stream, saes = own[0]["seconds_stream"] / every, sum(row["seconds_sae"] for row in own) / every
        found.append({
            "model": own[0]["seconds_model"] / every, "stream": stream, "saes": saes, "other": whole - stream - saes
        })  # fmt: skip
    return found[1:] or found


def _typical(windows: Sequence[Mapping[str, float]], part: str) -> float:
    """The median over windows where there are three, else the mean: one slow moment of the machine is no speed."""
    values = [window[part] for window in windows]
    return median(values) if len(values) > 2 else sum(values) / len(values)
