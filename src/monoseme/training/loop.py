"""The training loop: many SAEs on one stream of activations, measured, saved, and taken up again to the last bit.

A run is a pure function of its configuration and data: batches come from a seed and a cursor, learning rates from the step, and
what remains (weights, moments, counters, sums of the log window, bests) is in each checkpoint. A run killed at any moment and
called again with `resume=True` therefore ends with the weights of one that was never killed.
"""

import contextlib
import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from monoseme.activations import ActivationSource
from monoseme.core.display import get_display
from monoseme.core.errors import ConfigError, Interrupted, NonFiniteLossError
from monoseme.core.interrupt import stop_wish
from monoseme.saes import SAE
from monoseme.tensors.processes import ALONE, Mesh
from monoseme.training.config import TrainConfig
from monoseme.training.feed import Feed
from monoseme.training.knobs import require_used
from monoseme.training.learner import Best, Job, Learner, in_contexts
from monoseme.training.objective import Objective, require_objective
from monoseme.training.resume import begin
from monoseme.training.run import Run
from monoseme.training.seconds import Seconds
from monoseme.training.source_feed import SourceFeed, held_out_batches
from monoseme.training.validation import HeldOut


class Callbacks(NamedTuple):
    """What the caller brings along: functions that close over what the loop must not know, such as a language model."""

    validate: Callable[[str, SAE], Mapping[str, float]] | None = None
    """More numbers for a validation row, from the job's name and its SAE: `ce_increase`, `kl`."""
    objective: Objective | None = None
    """A loss through the model, from the job's name, its losses and its contexts; `TrainConfig.objective` weighs it."""
    on_step: Callable[[int], None] | None = None
    """Called with the number of steps done, after everything else of the step."""
    resume_command: str = "the same command with --resume"
    """What to type to go on, for messages."""
    mesh: Mesh = Mesh()
    """The processes that train together: each calls `train` with the same arguments but its own mesh. Where it divides latents,
    the SAEs are made for it by `monoseme.saes.sharded`."""


class TrainResult(NamedTuple):
    """What a finished run leaves behind."""

    saes: dict[str, SAE]
    """As they are after the last step; with `ema_decay`, with the mean of their weights."""
    best: dict[str, Best | None]
    """The best validation of each, None without held-out documents."""
    stopped_at: dict[str, int | None]
    """Step at which early stopping ended an SAE's training."""
    n_steps: int
    n_tokens: int
    checkpoint: Path
    """The last one."""
    seconds: Seconds
    """Of all parts of the run, resumed ones included."""


def train(
    source: ActivationSource,
    jobs: Sequence[Job],
    config: TrainConfig,
    *,
    folder: Path,
    held_out: ActivationSource | None = None,
    callbacks: Callbacks | None = None,
    resume: bool = False,
) -> TrainResult:
    """Trains the SAEs of `jobs` on one pass of `source` after another, validating on documents of `held_out`.

    With an objective through the model, a job that names no view learns from whole contexts. The rest is as in `train_on`.
    """
    if config.objective.kind != "none":
        jobs = [in_contexts(job) for job in jobs]
    rows = callbacks.mesh.rows if callbacks is not None else ALONE
    # Kept with the run as what it is, so that another default of a later version changes nothing of it.
    config = dataclasses.replace(config, shuffle_window=config.window(any_order=source.any_order))
    feed = SourceFeed(source, jobs, config, rows=rows)
    held_out_rows = None if held_out is None else held_out_batches(held_out, jobs, config)
    result = train_on(feed, jobs, config, folder=folder, held_out=held_out_rows, callbacks=callbacks, resume=resume)
    _tell_dropped(feed.n_dropped())
    return result


def _tell_dropped(n_dropped: Mapping[str, int]) -> None:
    """One line for all: the SAEs of a run wait for the one whose view makes the fewest items of a block."""
    told = [f"{name} {n:,}" for name, n in n_dropped.items() if n]
    if told:
        get_display().say(
            f"items left out, as another SAE's filter, pairs or sequences gave fewer of the text: {', '.join(told)}"
        )


def train_on(
    feed: Feed,
    jobs: Sequence[Job],
    config: TrainConfig,
    *,
    folder: Path,
    held_out: Mapping[str, HeldOut] | None = None,
    callbacks: Callbacks | None = None,
    resume: bool = False,
) -> TrainResult:
    """Trains the SAEs of `jobs` on the batches of `feed`; writes `metrics.jsonl` and `checkpoints/` into `folder`.

    `held_out` has the validation batches of each job, by name; None: no validation, and so no best. `resume` goes on from the
    last checkpoint, or from the start where there is none yet. With several processes the feed gives each its own part of every
    batch; the first one alone writes.

    Raises ArtifactExistsError when the folder holds a run and `resume` is off, ResumeError when the run in it is another one,
    ConfigError for settings that an SAE cannot take, NonFiniteLossError with the step and the last good checkpoint, Interrupted
    after Ctrl-C or SIGTERM (a checkpoint is written first), DiskFullError.
    """
    callbacks = callbacks or Callbacks()
    require_objective(config.objective, callbacks.objective)
    if config.early_stop_patience is not None and not held_out:
        raise ConfigError("early_stop_patience needs held-out documents to be judged on.\n  Give some, or leave it out.")
    mesh = callbacks.mesh
    learners = [Learner(job, config, objective=callbacks.objective, rows=mesh.rows) for job in jobs]
    require_used(config.sparsity, [learner.knobs for learner in learners])
    with contextlib.ExitStack() as stack:
        run = stack.enter_context(begin(feed, learners, config, folder=folder, resume=resume, mesh=mesh))
        wish = stack.enter_context(stop_wish())
        bar = stack.enter_context(get_display().progress("train", total=config.steps, unit="steps"))
        bar.advance(run.done)
        while not run.finished:
            with _told_last_good(run):
                run.step()
                if config.log_due(run.done):
                    run.log()
                if config.log_due(run.done) or config.validation_due(run.done):
                    run.log_latents()
                improved = config.validation_due(run.done) and run.validate(held_out, callbacks.validate)
                # Asked later than here, the wish waits for the next step: this one is not saved.
                stopping = mesh.any(wish.asked)
                if improved or stopping or run.finished or config.checkpoint_due(run.done):
                    run.save()
            bar.advance(1, **run.shown)
            if callbacks.on_step is not None:
                callbacks.on_step(run.done)
            if stopping and not run.finished:
                raise Interrupted(
                    f"stopped after step {run.done:,} of {config.steps:,}; all of it is in {run.last_checkpoint}.\n"
                    f"  Go on with:  {callbacks.resume_command}"
                )
    return _result(run)


@contextlib.contextmanager
def _told_last_good(run: Run) -> Iterator[None]:
    """Adds to NonFiniteLossError where the last good weights are."""
    try:
        yield
    except NonFiniteLossError as error:
        good = f"The last good checkpoint is {run.last_checkpoint}" if run.last_checkpoint else "There is no checkpoint yet"
        raise NonFiniteLossError(f"{error}.\n  {good}. A lower lr, or a longer warm-up, usually helps.") from error


def _result(run: Run) -> TrainResult:
    if run.last_checkpoint is None:
        raise AssertionError("a finished run has a checkpoint")
    return TrainResult(
        saes={learner.name: learner.result() for learner in run.learners},
        best={learner.name: learner.best for learner in run.learners},
        stopped_at={learner.name: learner.stopped_at for learner in run.learners},
        n_steps=run.done,
        n_tokens=run.n_tokens,
        checkpoint=run.last_checkpoint,
        seconds=run.seconds,
    )
