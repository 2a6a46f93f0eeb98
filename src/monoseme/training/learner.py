"""One SAE in training: what happens in a step, and what must be kept for the next one to go on to the bit."""

import contextlib
import math
import time
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor

from monoseme.activations import View
from monoseme.core.errors import NonFiniteLossError
from monoseme.models.site import Site
from monoseme.saes import SAE, Knobs, Losses
from monoseme.training.config import TrainConfig
from monoseme.training.feed import Rows
from monoseme.training.metrics import Window, batch_facts
from monoseme.training.optimiser import Optimiser
from monoseme.training.parts import join_losses, without_graph
from monoseme.training.schedule import default_rate, rate_factor


class Job(NamedTuple):
    """One SAE of a run, and the place it learns from."""

    name: str
    """Names its rows in the metrics and its files in the checkpoints."""
    sae: SAE
    sites: tuple[Site, ...]
    """Where it reads: one place for most architectures."""
    view: View | None = None
    """How it learns; None: the view of its architecture (`learns_from`) with its defaults."""


def view_learned(job: Job) -> View:
    """The view whose batches the job's SAE learns from."""
    return job.view or View(name=job.sae.learns_from, offset=job.sae.pair_offset)


def view_read(job: Job) -> View:
    """The view in which the job's SAE is used: all its sites together where there are several."""
    return View(name="layers") if len(job.sites) > 1 else View(name=job.sae.reads)


class Best(NamedTuple):
    """The best validation of an SAE so far."""

    step: int
    value: float


class Learner:
    """An SAE with its optimiser, the sums of the current log window, and how its validations went."""

    def __init__(self, job: Job, config: TrainConfig) -> None:
        """Nothing is measured or moved here; `sae.start` comes before the first step."""
        self.name = job.name
        self.sae = job.sae
        self.sites = job.sites
        self.view = view_learned(job)
        peak_rate = config.lr or default_rate(job.sae.n_latents, config.steps)
        self.optimiser = Optimiser(job.sae.named_parameters(), config, peak_rate=peak_rate)
        self.window = Window()
        self.best: Best | None = None
        self.validations_since_best = 0
        self.stopped_at: int | None = None
        self._config = config
        self._device = next(job.sae.parameters()).device
        self._first_bad_step = torch.full((), -1, dtype=torch.int32, device=self._device)

    def __repr__(self) -> str:
        return f"Learner({self.name!r}, {self.sae!r})"

    def step(self, batch: Rows, *, step: int) -> None:
        """One update from one batch: the 0-based `step` decides the learning rate.

        The gradient is projected before it is clipped (what is removed must not count), decoder rows are renormalised and
        latents counted after the update.
        """
        began = time.perf_counter()
        factor = rate_factor(step, config=self._config.schedule, n_steps=self._config.steps)
        self.optimiser.zero_grad()
        losses = self._backward(batch, Knobs(step=step, progress=step / self._config.steps))
        self.optimiser.gather()
        self.sae.project_gradients()
        grad_norm = self.optimiser.clip(self._config.clip_norm)
        self.optimiser.step(factor)
        self.sae.after_step(losses)
        self._watch(losses.total, grad_norm, step)
        self.window.add(losses, grad_norm=grad_norm, lr=self.optimiser.peak_rate * factor)
        if self._config.log_due(step + 1):
            self.window.note(batch_facts(losses))
        self.window.seconds += time.perf_counter() - began

    def _backward(self, batch: Rows, knobs: Knobs) -> Losses:
        """The losses of the whole batch; the gradients of its parts accumulate in proportion to their rows."""
        parts = batch.split(self._config.accumulate)
        shares = [1.0] if len(parts) == 1 else [part.n_counted / batch.n_counted for part in parts]
        done: list[Losses] = []
        for part, share in zip(parts, shares, strict=True):
            with self._autocast():
                losses = self.sae.loss(part.x, knobs, mask=part.mask)
            (losses.total * share).backward()
            done.append(without_graph(losses))
        return join_losses(done, shares)

    @contextlib.contextmanager
    def _autocast(self) -> Iterator[None]:
        if self._config.autocast is None:
            yield
            return
        with torch.autocast(self._device.type, dtype=torch.bfloat16):
            yield

    def _watch(self, loss: Tensor, grad_norm: Tensor, step: int) -> None:
        """Remembers on the device the first step whose loss or gradient is not finite; reading it is `check`'s part."""
        bad = ~torch.isfinite(loss.detach() + grad_norm)
        fresh = self._first_bad_step < 0
        self._first_bad_step = torch.where(bad & fresh, step, self._first_bad_step)
        if self._device.type == "cpu":  # elsewhere reading would wait for the device at each step
            self.check()

    def check(self) -> None:
        """Raises NonFiniteLossError, with the step, if any loss or gradient so far was NaN or infinite."""
        step = int(self._first_bad_step)
        if step >= 0:
            raise NonFiniteLossError(f'the loss or gradient of "{self.name}" was not finite at step {step + 1}')

    def liveness(self) -> dict[str, float]:
        """Shares of the latents, in [0, 1].

        `dead_fraction`: did not fire in the last `dead_after_tokens` tokens (the SAE's setting): what AuxK revives. A run
        shorter than that has none. `silent_fraction`: fired on none of the tokens of this log window.
        """
        silent = self.sae.tokens_since_fired >= self.window.n_rows
        return {"dead_fraction": float(self.sae.dead_mask().float().mean()), "silent_fraction": float(silent.float().mean())}

    def judge(self, value: float, *, done: int) -> bool:
        """Takes in a validation number after `done` steps; True if it is the best so far.

        With patience exhausted the learner stops (`stopped_at`). NaN is no best.
        """
        sign = 1.0 if self._config.best_is == "lowest" else -1.0
        if not math.isnan(value) and (self.best is None or sign * value < sign * self.best.value):
            self.best, self.validations_since_best = Best(done, value), 0
            return True
        self.validations_since_best += 1
        patience = self._config.early_stop_patience
        if patience is not None and self.validations_since_best >= patience:
            self.stopped_at = done
        return False

    def state(self) -> dict[str, Any]:
        """What besides tensors a resume needs, as JSON-able values."""
        return {
            "window": self.window.state(),
            "best": None if self.best is None else list(self.best),
            "validations_since_best": self.validations_since_best,
            "stopped_at": self.stopped_at,
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Takes up what `state` gave."""
        self.window = Window.from_state(state["window"], device=self._device)
        self.best = None if state["best"] is None else Best(*state["best"])
        self.validations_since_best = state["validations_since_best"]
        self.stopped_at = state["stopped_at"]
