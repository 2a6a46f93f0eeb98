"""How a run begins: fresh, from samples of its own stream, or from the last checkpoint of one that was stopped."""

import contextlib
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch

from monoseme.core.config import to_dict
from monoseme.core.display import get_display
from monoseme.core.errors import ArtifactExistsError, ResumeError
from monoseme.saes import SAE, config_to_dict
from monoseme.tensors.processes import Group, Mesh
from monoseme.training import numerics
from monoseme.training.checkpoint import Checkpoint, last_sound, place_of, restore
from monoseme.training.config import TrainConfig
from monoseme.training.feed import Feed, joined_items
from monoseme.training.foreign import IMPORTED, measure_only
from monoseme.training.learner import Learner
from monoseme.training.record import Record
from monoseme.training.rehearsal import rehearse
from monoseme.training.run import Run
from monoseme.training.together import whole_batch

_FREE = {"keep", "checkpoint_every", "checkpoint_at", "trackers", "latent_shards"}
"""Settings that move no number (beyond rounding), so that a resume may change them."""


@contextlib.contextmanager
def begin(feed: Feed, learners: list[Learner], config: TrainConfig, *, folder: Path, resume: bool, mesh: Mesh) -> Iterator[Run]:
    """A run at its first step, or where its last checkpoint left it; its files are closed at the end.

    Raises ArtifactExistsError, ResumeError, ArtifactVersionError.
    """
    metrics = folder / "metrics.jsonl"
    if not resume and (metrics.exists() or (folder / "checkpoints").exists()):
        raise ArtifactExistsError(
            f"{folder} already holds a training run.\n  Go on with it (--resume), or choose another folder."
        )
    checkpoint = last_sound(folder / "checkpoints") if resume else None
    _require_seen_by_all(checkpoint, folder, mesh)
    sae = learners[0].sae
    now = numerics.measure(next(sae.parameters(), sae.input_factor), mesh)  # a baseline may have no parameter
    stored = now if checkpoint is None else checkpoint.state["numerics"]
    with contextlib.ExitStack() as stack:
        stack.enter_context(numerics.taken_up(stored, now))
        keep_bytes = 0 if checkpoint is None else checkpoint.state["metrics_bytes"]
        facts = _facts(config, learners)
        record = Record.open(metrics, keep_bytes=keep_bytes, trackers=config.trackers, facts=facts) if mesh.first else Record()
        stack.enter_context(record)
        run = Run(feed, learners, config, folder=folder, record=record, numerics=stored, mesh=mesh)
        if checkpoint is None:
            with run.starting():
                _start(feed, learners, config, mesh.rows)
        else:
            _go_on(run, feed, checkpoint, config)
        with run.starting():
            rehearse(feed, learners, config, done=run.done)
        yield run


def _facts(config: TrainConfig, learners: list[Learner]) -> dict[str, Any]:
    return {"train": to_dict(config), "saes": {learner.name: config_to_dict(learner.sae.config) for learner in learners}}


def _require_seen_by_all(checkpoint: Checkpoint | None, folder: Path, mesh: Mesh) -> None:
    """Raises ResumeError where processes do not find the same checkpoint. Nobody goes on, and writes, before all have looked."""
    found = None if checkpoint is None else checkpoint.step
    first = mesh.share_value(found)
    if mesh.any(found != first):
        raise ResumeError(
            f"the processes of this run do not see the same checkpoints in {folder}.\n"
            "  Give --out a folder on a disk that all machines share."
        )


def _start(feed: Feed, learners: list[Learner], config: TrainConfig, rows: Group) -> None:
    """Lets each SAE measure scale, decoder bias and variance on the first tokens of its stream, then goes back to the first.

    One that was started before (a trained one that learns on) keeps its own. Of one that another tool trained, only what
    the loss needs is measured. All processes measure the same whole batches.
    """
    beginning = feed.cursor()
    n_batches = -(-config.start_tokens // config.batch_size)
    steps = [feed.advance() for _ in range(n_batches)]
    for i, learner in enumerate(learners):
        if not bool(learner.sae.started):
            whole = [whole_batch(batches[i], rows) for batches in steps]
            sample = joined_items(whole)[: config.start_tokens]
            if IMPORTED in learner.sae.provenance:
                measure_only(learner.sae, sample)
            else:
                learner.sae.start(sample)
        _share_start(learner.sae, rows)
    feed.seek(beginning)


@torch.no_grad()
def _share_start(sae: SAE, rows: Group) -> None:
    """From the first process: two kinds of processor may round what they measured differently."""
    if rows.size == 1:
        return
    for tensor in sae.state_dict(keep_vars=True).values():
        tensor.copy_(rows.share(tensor.detach().clone(memory_format=torch.contiguous_format)))


def _go_on(run: Run, feed: Feed, checkpoint: Checkpoint, config: TrainConfig) -> None:
    _refuse_another(checkpoint, config, run.learners)
    for learner in run.learners:
        restore(learner, checkpoint)
    jobs = checkpoint.state["jobs"]
    numerics.take_up_kernels(
        [learner.sae for learner in run.learners], [jobs[learner.name]["kernel"] for learner in run.learners]
    )
    feed.seek(checkpoint.state["cursor"])
    run.take_up(checkpoint)
    get_display().say(f"going on after step {checkpoint.step:,} of {config.steps:,} ({checkpoint.path})")


def _refuse_another(checkpoint: Checkpoint, config: TrainConfig, learners: list[Learner]) -> None:
    """Raises ResumeError, naming what differs, unless the checkpoint is of the run described."""
    jobs = checkpoint.state["jobs"]
    if set(jobs) != {learner.name for learner in learners}:
        asked = ", ".join(learner.name for learner in learners)
        raise ResumeError(f"{checkpoint.path} holds the SAEs {', '.join(jobs)}, not {asked}")
    problems = _differences("train", checkpoint.state["train"], to_dict(config), free=_FREE)
    for learner in learners:
        own, job = learner.sae.config, jobs[learner.name]
        given = {**config_to_dict(own), **own.rules}
        before = {name: value for name, value in own.before.items() if name in given}
        problems += _differences(learner.name, {**before, **job["config"], **job.get("rules", {})}, given)
        place = place_of(learner)
        problems += _differences(learner.name, {key: jobs[learner.name][key] for key in place}, place)
    if problems:
        lines = "\n  ".join(problems)
        raise ResumeError(
            f"{checkpoint.path} is of a run with other settings:\n  {lines}\n"
            "  Give the old settings to go on with it, or another folder to start anew."
        )


def _differences(where: str, old: Mapping[str, Any], new: Mapping[str, Any], *, free: Collection[str] = ()) -> list[str]:
    names = sorted((old.keys() | new.keys()) - set(free))
    return [f"{where}.{n} was {old.get(n)!r}, is {new.get(n)!r}" for n in names if old.get(n) != new.get(n)]
