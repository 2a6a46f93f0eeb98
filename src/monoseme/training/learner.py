"""One SAE in training: what happens in a step, and what must be kept for the next one to go on to the bit."""

import contextlib
import math
import time
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor

from monoseme.activations import View
from monoseme.core.display import get_display
from monoseme.core.errors import NonFiniteLossError
from monoseme.kernels import RowUpdates, counted
from monoseme.models.site import Site
from monoseme.saes import SAE, Knobs, Losses
from monoseme.tensors.factored import emit_factors
from monoseme.tensors.processes import ALONE, Group, Mesh, sharing_batch
from monoseme.training.config import TrainConfig
from monoseme.training.ema import WeightMean
from monoseme.training.feed import Rows
from monoseme.training.knobs import KnobSetter
from monoseme.training.life import LatentLife
from monoseme.training.metrics import Window, batch_facts
from monoseme.training.objective import Objective, require_contexts, with_objective
from monoseme.training.optimiser import Optimiser
from monoseme.training.parts import join_losses, without_graph
from monoseme.training.resampling import require_resampling, resample
from monoseme.training.schedule import default_rate, rate_factor
from monoseme.training.shards import n_latents_in_all
from monoseme.training.together import Division, Told, divide, sum_gradients, tell_numbers, whole_losses


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


def in_contexts(job: Job) -> Job:
    """The job learning from whole contexts, where it names no view and its SAE learns from tokens."""
    return job._replace(view=View(name="contexts")) if job.view is None and job.sae.learns_from == "tokens" else job


def view_read(job: Job) -> View:
    """The view in which the job's SAE is used: all its sites together where there are several."""
    return View(name="layers") if len(job.sites) > 1 else View(name=job.sae.reads)


class Best(NamedTuple):
    """The best validation of an SAE so far."""

    step: int
    value: float


class Learner:
    """An SAE with its optimiser, the sums of the current log window, and how its validations went."""

    def __init__(self, job: Job, config: TrainConfig, *, objective: Objective | None = None, rows: Group = ALONE) -> None:
        """Nothing is measured or moved here; `sae.start` comes before the first step. `rows`: who has other rows of each batch.

        Raises ConfigError for a schedule, a resampling or an objective that this SAE cannot take.
        """
        self.name = job.name
        self.sae = job.sae
        self.sites = job.sites
        self.view = view_learned(job)
        peak_rate = config.lr or default_rate(n_latents_in_all(job.sae), config.steps)
        self.optimiser = Optimiser(
            job.sae.named_parameters(),
            config,
            peak_rate=peak_rate,
            unit_norm=job.sae.unit_norm,
            sharded=job.sae.sharded_parameters,
            latents=job.sae.shard,
        )
        self.window = Window()
        self.best: Best | None = None
        self.validations_since_best = 0
        self.stopped_at: int | None = None
        self.knobs = KnobSetter(job.name, job.sae, config)
        self.life = LatentLife(job.sae, rows=rows)
        self.mean = None if config.ema_decay is None else WeightMean(config.ema_decay)
        self._config = config
        self._objective = objective
        self._device = job.sae.input_factor.device
        self._mesh = Mesh(rows, job.sae.shard)
        self._needs_dense = _needs_dense(job.sae, rows)
        job.sae.require_mesh(self._mesh)
        self._said = False
        if config.resample.on:
            require_resampling(job.sae, n_sites=max(1, len(job.sites)))
        if objective is not None:
            require_contexts(job.name, self.view)
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
        rows = self._row_updates()
        self.optimiser.zero_grad()
        parts = batch.split(self._config.accumulate)
        division = divide(parts, self._mesh.rows, pairs=self.sae.learns_from == "pairs")
        with counted() as screened, contextlib.nullcontext() if rows is None else emit_factors():
            losses = self._backward(parts, division, self.knobs.at(step))
        self.optimiser.gather(rows)
        sum_gradients(self.sae.parameters(), self._mesh.rows)
        self.sae.project_gradients()
        grad_norm = self.optimiser.update(factor)
        with sharing_batch(division.whole):
            self.sae.after_step(losses)
        told = tell_numbers(losses, division, self._mesh)
        self._watch(told.losses.total, grad_norm, step)
        self._follow(told, division, step=step, rate=factor)
        self.window.add(told.losses, l0=told.l0, n_rows=told.n_rows, grad_norm=grad_norm, lr=self.optimiser.peak_rate * factor)
        self.window.add_screens(screened)
        if self._config.log_due(step + 1):
            self.window.note(batch_facts(losses, self._mesh.rows))
        self.window.seconds += time.perf_counter() - began

    def _backward(self, parts: list[Rows], division: Division, knobs: Knobs) -> Losses:
        """The losses of what is here of the batch; the gradients of its parts accumulate in proportion to their rows."""
        done: list[Losses] = []
        for part, place, share in zip(parts, division.parts, division.shares, strict=True):
            with self._autocast(), sharing_batch(place):
                losses = self.sae.loss(part.x, knobs, mask=part.mask)
                if self._objective is not None:
                    losses = with_objective(self.name, losses, part, objective=self._objective, config=self._config.objective)
            if losses.total.requires_grad:  # a baseline may have nothing to learn
                (losses.total * share).backward()
            done.append(without_graph(losses))
        return join_losses(done, [share / division.share for share in division.shares])

    def _row_updates(self) -> RowUpdates | None:
        """How parameters are updated by rows; None where the kernels do not, or where something needs dense gradients."""
        rows = self.sae.kernels.rows
        if rows is None or not self._needs_dense:
            return rows
        if not self._said:
            self._said = True
            get_display().say(f"{self.name}: gradients are dense, since {self._needs_dense}")
        return None

    def _follow(self, told: Told, division: Division, *, step: int, rate: float) -> None:
        """What looks at the SAE after its step, in this order: life, penalty, mean of the weights, resampling of the dead."""
        self.life.add(self.sae, told.losses, share=division.share)
        if self.knobs.controller is not None:
            self.knobs.controller.observe(told.losses, l0=told.l0, step=step, rate=rate)
        if self.mean is not None:
            self.mean.update(self.sae)
        if self._config.resample.due(step + 1, batch_size=self._config.batch_size):
            losses = whole_losses(told.losses, self._mesh.rows)
            self.life.resampled(self.sae, resample(self.sae, self.optimiser, losses, step=step, mean=self.mean))

    def settle(self) -> None:
        """What each process counted by itself becomes the first one's: before a row of metrics, and before a checkpoint."""
        self.window.settle(self._mesh)
        self.life.settle()

    def result(self) -> SAE:
        """The SAE to measure and to hand back: itself, or a copy with the mean of its weights where one is kept."""
        return self.sae if self.mean is None or self.mean.n_steps == 0 else self.mean.averaged(self.sae)

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
        return {"dead_fraction": self._share(self.sae.dead_mask()), "silent_fraction": self._share(silent)}

    def _share(self, marked: Tensor) -> float:
        """Share of all processes' latents that are marked."""
        n, of = self._mesh.latents.sum(torch.stack([marked.sum(), torch.full_like(marked.sum(), marked.numel())])).tolist()
        return n / of

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

    def tensors(self) -> dict[str, Tensor]:
        """What besides the SAE and its optimiser a resume needs, by name: counts of the latents, the mean of the weights."""
        counts = {f"life.{name}": tensor for name, tensor in self.life.tensors().items()}
        means = {} if self.mean is None else self.mean.tensors()
        return counts | {f"mean.{name}": tensor for name, tensor in means.items()}

    def state(self) -> dict[str, Any]:
        """What besides tensors a resume needs, as JSON-able values."""
        controller = self.knobs.controller
        return {
            "window": self.window.state(),
            "best": None if self.best is None else list(self.best),
            "validations_since_best": self.validations_since_best,
            "stopped_at": self.stopped_at,
            "controller": None if controller is None else controller.state(),
            "life_rows": self.life.n_rows,
            "mean_steps": 0 if self.mean is None else self.mean.n_steps,
        }

    def load_state(self, state: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
        """Takes up what `state` and `tensors` gave."""
        self.window = Window.from_state(state["window"], device=self._device, counts=self._mesh.first)
        self.best = None if state["best"] is None else Best(*state["best"])
        self.validations_since_best = state["validations_since_best"]
        self.stopped_at = state["stopped_at"]
        if self.knobs.controller is not None:
            self.knobs.controller.load_state(state["controller"], device=self._device)
        self.life.load(_under("life.", tensors), n_rows=state["life_rows"])
        if self.mean is not None:
            self.mean.load(means_in(tensors), n_steps=state["mean_steps"], sae=self.sae)


def _needs_dense(sae: SAE, rows: Group) -> str | None:
    """Why the gradients of this SAE must be dense, or None: what looks at `.grad` would not find what is updated by rows."""
    if type(sae).project_gradients is not SAE.project_gradients:
        return f"{sae.plugin_name} has a way of its own to project them"
    if rows.size > 1:
        return "several processes add them up"
    return None


def means_in(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Of what `Learner.tensors` gave, the mean weights by the names of their parameters."""
    return _under("mean.", tensors)


def _under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
