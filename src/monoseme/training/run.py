"""A run in progress: its SAEs, its place in the stream, its clocks and its files. The loop says when; this says how."""

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from monoseme.core.config import to_dict
from monoseme.core.errors import ConfigError
from monoseme.core.memory import own_memory_mb
from monoseme.saes import SAE
from monoseme.tensors.processes import Mesh
from monoseme.training.checkpoint import Checkpoint, WholeLearner, checkpoint_place, prune, write_checkpoint
from monoseme.training.config import TrainConfig
from monoseme.training.feed import Feed
from monoseme.training.learner import Learner
from monoseme.training.record import Record
from monoseme.training.seconds import Seconds
from monoseme.training.together import require_same
from monoseme.training.validation import HeldOut

_PAUSES = ("starting", "validation", "checkpoints")
"""Parts of the time in which nothing is learned; the rate in a row of metrics is without them."""


class Run:
    """What a training loop moves on step by step."""

    def __init__(self, feed: Feed, learners: list[Learner], config: TrainConfig, *, folder: Path, record: Record,
                 numerics: Mapping[str, Any], mesh: Mesh) -> None:  # fmt: skip
        """`mesh`: the processes that take each step together; all but the first have a record that keeps nothing."""
        self.learners = learners
        self.done = 0
        """Steps taken."""
        self.seconds = Seconds()
        self.last_checkpoint: Path | None = None
        self.shown: dict[str, float] = {}
        """What the progress line shows: the FVU of each SAE in the last row."""
        self._feed = feed
        self._config = config
        self._checkpoints = folder / "checkpoints"
        self._record = record
        self._numerics = numerics
        self._mesh = mesh
        self._began = time.perf_counter()
        self._window_began = Seconds()

    @property
    def finished(self) -> bool:
        """Whether no step is left to take: all are done, or every SAE has stopped early."""
        return self.done >= self._config.steps or all(learner.stopped_at is not None for learner in self.learners)

    @property
    def n_tokens(self) -> int:
        """Tokens learned from."""
        return self.done * self._config.batch_size

    def take_up(self, checkpoint: Checkpoint) -> None:
        """Puts step count and clocks where a checkpoint left them."""
        self.done = checkpoint.step
        self.seconds = Seconds.from_json(checkpoint.state["seconds"])
        self.last_checkpoint = checkpoint.path
        self._window_began = self.seconds.copy()

    @contextlib.contextmanager
    def starting(self) -> Iterator[None]:
        """Counts the body's time as that of starting."""
        began = time.perf_counter()
        yield
        self.seconds.starting += time.perf_counter() - began

    def step(self) -> None:
        """One batch, and one update of every SAE that still learns."""
        began, source = time.perf_counter(), self._feed.seconds()
        batches = self._feed.advance()
        fed = time.perf_counter()
        for learner, batch in zip(self.learners, batches, strict=True):
            if learner.stopped_at is None:
                learner.step(batch, step=self.done)
        self.done += 1
        self.seconds.add_source(source, self._feed.seconds())
        self.seconds.stream += fed - began
        self.seconds.saes += time.perf_counter() - fed

    def log(self) -> None:
        """A row of metrics for every SAE that learned in this window, and a new window."""
        window = self._window_seconds()
        for learner in self.learners:
            if learner.window.n_steps == 0:
                continue
            learner.check()
            learner.settle()
            row = learner.window.row() | learner.liveness() | learner.knobs.row(self.done - 1)
            self._record.write(
                {
                    "step": self.done,
                    "tokens": self.n_tokens,
                    "sae": learner.name,
                    **row,
                    "tokens_per_second": learner.window.n_steps * self._config.batch_size / max(window.total, 1e-9),
                    "seconds_model": window.model,
                    "seconds_stream": window.stream,
                    "seconds_sae": learner.window.seconds,
                    "rss_mb": own_memory_mb(),
                }
            )
            if "fvu" in row:
                self.shown[f"{learner.name}_fvu"] = row["fvu"]
            learner.window.clear()

    def log_latents(self) -> None:
        """A row on the life of the latents of every SAE that learned since the last such row."""
        for learner in self.learners:
            if learner.life.n_rows:
                learner.settle()
                place = {"event": "latents", "step": self.done, "tokens": self.n_tokens, "sae": learner.name}
                self._record.write(place | learner.life.row(learner.sae))
                learner.life.clear()

    def validate(self, held_out: Mapping[str, HeldOut] | None, extra: Callable[[str, SAE], Mapping[str, float]] | None) -> bool:
        """Measures every SAE that still learns on held-out documents; True if one is better than ever.

        Raises ConfigError when the number that decides (`best_by`) is not among those measured.
        """
        began = time.perf_counter()
        improved = False
        for learner in self.learners:
            if learner.stopped_at is not None or not held_out:
                continue
            learner.check()
            numbers = self._measured(learner, held_out[learner.name], extra)
            if self._config.best_by not in numbers:
                raise ConfigError(f'best_by is "{self._config.best_by}".\n  Measured are: {", ".join(sorted(numbers))}')
            self._record.write(
                {"event": "validation", "step": self.done, "tokens": self.n_tokens, "sae": learner.name, **numbers}
            )
            improved |= learner.judge(numbers[self._config.best_by], done=self.done)
        self.seconds.validation += time.perf_counter() - began
        return improved

    def _measured(
        self, learner: Learner, held_out: HeldOut, extra: Callable[[str, SAE], Mapping[str, float]] | None
    ) -> dict[str, float]:
        """What the first rank of the rows measures, on all."""
        numbers = dict[str, float]()
        if self._mesh.rows.rank == 0:
            sae = learner.result()
            numbers = held_out.measure(sae, knobs=learner.knobs.at(self.done))
            if extra is not None:
                numbers |= extra(learner.name, sae)
        return self._mesh.rows.share_value(numbers)

    def save(self) -> None:
        """Writes a checkpoint, then deletes those no longer wanted.

        Raises TrainingError where the processes hold different weights.
        """
        began = time.perf_counter()
        for learner in self.learners:
            learner.check()
            require_same(learner.name, learner.sae, self._mesh.rows)
            learner.settle()
        self._tick()
        if self._mesh.rows.rank == 0:
            self._write()
        self.last_checkpoint = checkpoint_place(self._checkpoints, self.done)
        self._mesh.wait()
        self.seconds.checkpoints += time.perf_counter() - began
        self._tick()

    def _write(self) -> None:
        """By the first process; the others of its latents hand over what they have of the SAEs."""
        written = [WholeLearner.of(learner) for learner in self.learners]
        if self._mesh.latents.rank == 0:
            write_checkpoint(self._checkpoints, step=self.done, learners=written, state=self._state())
            prune(self._checkpoints, keep=self._config.keep)

    def _state(self) -> dict[str, Any]:
        return {
            "train": to_dict(self._config),
            "cursor": self._feed.cursor(),
            "metrics_bytes": self._record.sync(),
            "numerics": dict(self._numerics),
            "seconds": asdict(self.seconds),
        }

    def _tick(self) -> None:
        """Adds the time since the last tick to the total."""
        now = time.perf_counter()
        self.seconds.total += now - self._began
        self._began = now

    def _window_seconds(self) -> Seconds:
        """Seconds since the last row, without those of pauses; begins the next window."""
        self._tick()
        now, before = self.seconds, self._window_began
        self._window_began = now.copy()
        pauses = sum(getattr(now, part) - getattr(before, part) for part in _PAUSES)
        return Seconds(
            model=now.model - before.model,
            stream=now.stream - before.stream,
            saes=now.saes - before.saes,
            total=now.total - before.total - pauses,
        )
