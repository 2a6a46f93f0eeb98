"""Our own side of a training benchmark: a whole `Learner.step`, and the dense twin that starts from the same weights.

Letters: B vectors of a step, D model width, F latents.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor

from monoseme.benchmarks._activity import Activity, dense_activity, own_activity, pre_activations
from monoseme.benchmarks._data import N_SITES, View, in_view
from monoseme.benchmarks._dense import DenseSAE
from monoseme.benchmarks._dense_losses import DENSE, DenseJumpReLU
from monoseme.benchmarks._sizes import Sizes
from monoseme.saes import SAE, SAES, build, config_from_dict
from monoseme.training import Job, TrainConfig
from monoseme.training.feed import Rows
from monoseme.training.learner import Learner

L0 = 50.0
"""Latents on per vector to which ReLU and JumpReLU are set before they are timed."""
_QUIET_SCALE = 0.3
"""Encoder rows of latents made dead are shrunk to this: they stay below the cut, and positive for half of the vectors."""
_ROWS_FOR_CUT = 512
_WITH_PENALTY = ("relu", "jumprelu")
_N_STEPS = 30_000  # of the schedule: steps that are timed lie in its warm-up, as a run's first do


@dataclass(frozen=True, kw_only=True)
class Task:
    """What is trained, by whoever trains it."""

    sizes: Sizes
    architecture: str = "topk"
    kernel: str = "auto"
    clip_norm: float | None = None
    """As `TrainConfig.clip_norm`; None, since the dense reference does not clip either."""
    dead_fraction: float = 0.0
    """Share of the latents made dead, in [0, 1): they do not fire, and AuxK works on them."""
    settings: tuple[tuple[str, Any], ...] = ()
    """Further settings of the SAE."""

    @property
    def view(self) -> View:
        """What the architecture learns from."""
        return "pairs" if self.architecture == "tsae" else "layers" if self.architecture == "mlsae" else "tokens"

    def batches(self, x: Tensor) -> list[Tensor]:
        """Rows [N, D] as whole batches in the architecture's view."""
        whole = x[: x.shape[0] // self.sizes.batch * self.sizes.batch]
        return [in_view(part, self.view) for part in whole.split(self.sizes.batch)]


class OwnStep:
    """Our SAE in training; calling it takes one whole step of its `Learner`."""

    def __init__(self, task: Task, batches: Sequence[Tensor]) -> None:
        """Started on the first batch, brought to its L0, and with its dead latents."""
        self.sae = build_sae(task, batches[0])
        config = TrainConfig(n_steps=_N_STEPS, batch_size=task.sizes.batch, clip_norm=task.clip_norm)
        self.learner = Learner(Job(task.architecture, self.sae, ()), config)
        self._batches = [Rows(batch) for batch in batches]
        self._done = 0

    def __call__(self) -> float:
        """Seconds of the next step."""
        batch = self._batches[self._done % len(self._batches)]
        began = time.perf_counter()
        self.learner.step(batch, step=self._done)
        self._done += 1
        return time.perf_counter() - began

    def activity(self) -> Activity | None:
        """On vectors that did not set its L0; None where k says how many latents are on."""
        return own_activity(self.sae, self._batches[-1].x[:_ROWS_FOR_CUT])


class DenseStep:
    """The dense twin in training."""

    def __init__(self, task: Task, batches: Sequence[Tensor]) -> None:
        """With the weights that our SAE has at its start, in its own units."""
        self.dense = dense_twin(task, batches[0])
        self._has_penalty = task.architecture in _WITH_PENALTY
        self._batches = batches
        self._done = 0

    def __call__(self) -> float:
        """Seconds of the next step."""
        batch = self._batches[self._done % len(self._batches)]
        began = time.perf_counter()
        self.dense.step(batch)
        self._done += 1
        return time.perf_counter() - began

    def activity(self) -> Activity | None:
        """As that of our step."""
        return dense_activity(self.dense, self._batches[-1][:_ROWS_FOR_CUT]) if self._has_penalty else None


@torch.no_grad()
def build_sae(task: Task, sample: Tensor) -> SAE:
    """Our SAE of the task, ready for its first step."""
    sae = build(config_from_dict(_settings(task)))
    sae.use_kernels(task.kernel)
    sae.start(sample)
    _set_l0(sae, sample)
    if task.dead_fraction:
        dead = dead_latents(sae.n_latents, task.dead_fraction)
        sae.W_enc[:, dead] *= _QUIET_SCALE
        sae.tokens_since_fired[dead] = sae.config.dead_after_tokens
    return sae


@torch.no_grad()
def dense_twin(task: Task, sample: Tensor) -> DenseSAE:
    """The dense SAE of the task with the L0 and the dead latents that ours has."""
    flat = sample.reshape(-1, sample.shape[-1])
    dense = DENSE[task.architecture](task.sizes, variance=float((flat - flat.mean(0)).square().sum(1).mean()))
    if task.architecture in _WITH_PENALTY:
        cut = _cut(dense.pre(flat[:_ROWS_FOR_CUT]))
        _apply_cut(dense.b_enc, dense.log_threshold if isinstance(dense, DenseJumpReLU) else None, cut)
    if task.dead_fraction:
        dead = dead_latents(dense.W_enc.shape[0], task.dead_fraction)
        dense.W_enc[dead] *= _QUIET_SCALE
        dense.tokens_since_fired[dead] = dense.dead_after_tokens
    return dense


def dead_latents(n_latents: int, fraction: float) -> Tensor:
    """Latents to make dead, spread evenly, ascending."""
    dead_before = (torch.arange(n_latents + 1, dtype=torch.float64) * fraction).floor()
    return dead_before.diff().nonzero().squeeze(1)


def _settings(task: Task) -> dict[str, Any]:
    sizes = task.sizes
    wanted = {"d_in": sizes.d_model, "n_latents": sizes.n_latents, "k": sizes.k, "k_aux": max(1, sizes.d_model // 2)}
    if task.architecture == "mlsae":
        wanted |= {"n_sites": N_SITES, "k_aux": 256}
    known = {setting.name for setting in fields(SAES.get(task.architecture).Config)}
    chosen = {name: value for name, value in wanted.items() if name in known}
    return {"architecture": task.architecture, **chosen, **dict(task.settings)}


def _set_l0(sae: SAE, sample: Tensor) -> None:
    if sae.sparsity != "penalty":
        return
    cut = _cut(pre_activations(sae, sample[:_ROWS_FOR_CUT]))
    thresholds = dict(sae.named_parameters()).get("log_threshold")
    _apply_cut(sae.b_enc, thresholds, cut)


def _cut(pre: Tensor) -> Tensor:
    """The value that `L0` latents of a vector exceed on average, or an eighth of all, if they are few: it must be positive."""
    return pre.flatten().topk(max(1, round(min(L0, pre.shape[1] / 8) * pre.shape[0])), sorted=True).values[-1]


def _apply_cut(bias: Tensor, log_threshold: Tensor | None, cut: Tensor) -> None:
    """Makes it the threshold of every latent: of its own where it has one, else through the bias."""
    if log_threshold is None:
        bias -= cut
    else:
        log_threshold.fill_(float(cut.log()))
