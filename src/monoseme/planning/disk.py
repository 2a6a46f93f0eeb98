"""Bytes that a training run writes: exact for files of tensors, a bound for what is text."""

import math

from monoseme.planning.figure import Figure
from monoseme.planning.outline import PlannedJob, RunOutline
from monoseme.planning.tensor_files import file_bytes
from monoseme.training.config import TrainConfig
from monoseme.training.life import AGE_BINS, DENSITY_BINS

_STATE_BYTES = 6000
"""Of a checkpoint's state.json for its run, and again for each SAE."""
_ROW_BYTES = 700
"""Of a row of metrics."""
_LATENTS_ROW_BYTES = 400 + 8 * (2 * len(DENSITY_BINS) + 2 * len(AGE_BINS))


def checkpoint_files(job: PlannedJob, train: TrainConfig) -> dict[str, int]:
    """Bytes of the tensor files of one SAE in a checkpoint, by name."""
    sizes = job.sizes
    return {
        f"{sizes.name}.safetensors": file_bytes(sizes.weights),
        f"{sizes.name}.optimiser.safetensors": file_bytes(sizes.optimiser()),
        f"{sizes.name}.learner.safetensors": file_bytes(sizes.learner(train)),
    }


def checkpoint_bytes(outline: RunOutline) -> int:
    """Of the tensor files of a whole checkpoint."""
    train = outline.config.train
    return sum(sum(checkpoint_files(job, train).values()) for job in outline.jobs)


def artifact_bytes(outline: RunOutline) -> int:
    """Of the tensor files of the finished SAEs."""
    return sum(file_bytes(job.sizes.exported) for job in outline.jobs)


def n_checkpoints_kept(train: TrainConfig, *, n_jobs: int, validated: bool) -> int:
    """Checkpoints on disk at most at the end: the last `keep`, and the best of each SAE where it is none of them."""
    planned = sum(train.checkpoint_due(step) for step in _possible(train))
    validations = train.steps // train.validate_every + 1 if validated else 0
    return min(train.keep + (n_jobs if validated else 0), max(1, planned + validations))


def _possible(train: TrainConfig) -> set[int]:
    """The steps at which a checkpoint may be planned."""
    at = {math.ceil(fraction * train.steps) for fraction in train.checkpoint_at} | {train.steps}
    return at | (set(range(0, train.steps + 1, train.checkpoint_every)) - {0} if train.checkpoint_every else set())


def training_disk(outline: RunOutline) -> list[Figure]:
    """What lies in the run's folder when it is done, and the most while it is written."""
    train, n_jobs = outline.config.train, len(outline.jobs)
    one = checkpoint_bytes(outline)
    kept = n_checkpoints_kept(train, n_jobs=n_jobs, validated=outline.is_validated)
    saes = artifact_bytes(outline)
    text = kept * _STATE_BYTES * (1 + n_jobs) + _metrics_bytes(train, n_jobs) + 20_000 * n_jobs
    return [
        Figure(name="SAEs", value=saes, unit="bytes", found="exact", note="tensor files"),
        Figure(name="one checkpoint", value=one, unit="bytes", found="exact", note="weights, moments and counts of all SAEs"),
        Figure(
            name="checkpoints kept",
            value=kept * one,
            unit="bytes",
            found="computed",
            note=f"at most {kept}: the last {train.keep}, and the best of each SAE where that is none of them",
        ),
        Figure(name="metrics and records", value=text, unit="bytes", found="estimated", note="JSON; within a factor of 2"),
        Figure(name="disk at most", value=saes + (kept + 1) * one + text, unit="bytes", found="computed",
               note="with one checkpoint more, which is whole before an older one goes"),
    ]  # fmt: skip


def _metrics_bytes(train: TrainConfig, n_jobs: int) -> int:
    logs, validations = train.steps // train.log_every + 1, train.steps // train.validate_every + 1
    return n_jobs * (logs * (_ROW_BYTES + _LATENTS_ROW_BYTES) + validations * _ROW_BYTES)
