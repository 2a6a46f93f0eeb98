"""What one training run is told: how long, how fast, how often it looks, writes and saves."""

import math
from dataclasses import dataclass, field
from typing import Literal

from monoseme.core.errors import ConfigError

_DEFAULT_TOKENS = 20_000_000

_LIVE_WINDOW, _STORED_WINDOW = 8, 64


@dataclass(frozen=True, kw_only=True)
class ScheduleConfig:
    """The learning rate over a run: a linear warm-up, a plateau, a decay."""

    kind: Literal["constant", "linear", "cosine"] = "linear"
    """Shape of the decay; "constant" has none."""
    warmup_steps: int | None = None
    """Steps of linear rise. None: a twentieth of the run, at most 1,000 (the usual figure, but most of a short run)."""
    decay_fraction: float | None = None
    """Last part of the run that decays, in (0, 1]. None: 0.2 for "linear", all after the warm-up for "cosine"."""
    final_fraction: float = 0.0
    """Learning rate at the very end as a fraction of the peak, in [0, 1]."""

    def __post_init__(self) -> None:
        _at_least(self.warmup_steps, 0, "schedule.warmup_steps")
        _within(self.decay_fraction, 0.0, 1.0, "schedule.decay_fraction")
        _within(self.final_fraction, 0.0, 1.0, "schedule.final_fraction")
        if self.decay_fraction == 0.0:
            raise ConfigError('schedule.decay_fraction is 0: for no decay set schedule.kind to "constant"')
        if self.kind == "constant" and (self.decay_fraction is not None or self.final_fraction != 0.0):
            raise ConfigError(
                'schedule.kind "constant" has no decay, so decay_fraction and final_fraction would be ignored.\n'
                '  Leave them out, or set schedule.kind to "linear" or "cosine".'
            )


@dataclass(frozen=True, kw_only=True)
class SparsityConfig:
    """What the sparsity of the SAEs does over a run; each knows by its architecture whether it has a k or a penalty."""

    warmup_fraction: float = 0.0
    """First part of the run over which the sparsity penalty rises linearly, in [0, 1)."""
    start_factor: float = 1.0
    """k, or the target L0, begins at this multiple of its own value (at least 1) and falls to it over anneal_fraction."""
    anneal_fraction: float = 0.0
    """First part of the run over which it falls, in [0, 1]; geometrically, k rounded."""
    smallest_factor: float = 1e-4
    """Least that the controller of an SAE with a target L0 multiplies the penalty by."""
    largest_factor: float = 1e4
    """Most that it does."""

    def __post_init__(self) -> None:
        _within(self.warmup_fraction, 0.0, 1.0, "sparsity.warmup_fraction")
        _within(self.anneal_fraction, 0.0, 1.0, "sparsity.anneal_fraction")
        if self.start_factor < 1.0:
            raise ConfigError(f"sparsity.start_factor is {self.start_factor}; it must be at least 1")
        if (self.start_factor > 1.0) != (self.anneal_fraction > 0.0):
            raise ConfigError(
                f"sparsity.start_factor ({self.start_factor:g}) and sparsity.anneal_fraction ({self.anneal_fraction:g}) go "
                "together.\n  Set both (a factor above 1, a fraction above 0), or neither."
            )
        if not 0.0 < self.smallest_factor <= 1.0 <= self.largest_factor:
            raise ConfigError(
                f"sparsity.smallest_factor is {self.smallest_factor:g} and sparsity.largest_factor {self.largest_factor:g}; "
                "the first must be above 0 and at most 1, the second at least 1"
            )


@dataclass(frozen=True, kw_only=True)
class ResampleConfig:
    """When dead latents are given the directions of badly reconstructed inputs (Bricken et al. 2023). Off unless one is set."""

    every_tokens: int | None = None
    """Tokens between two times."""
    at_steps: tuple[int, ...] = ()
    """After so many steps as well."""

    def __post_init__(self) -> None:
        _at_least(self.every_tokens, 1, "resample.every_tokens")
        for step in self.at_steps:
            _at_least(step, 1, "resample.at_steps")

    @property
    def on(self) -> bool:
        """Whether it ever happens."""
        return self.every_tokens is not None or bool(self.at_steps)

    def require_within(self, n_steps: int, *, batch_size: int) -> None:
        """Raises ConfigError for a time that a run of `n_steps` does not come to."""
        late = [step for step in self.at_steps if step > n_steps]
        if late:
            raise ConfigError(f"resample.at_steps holds {late[0]}, but the run has {n_steps} steps: it would never happen")
        n_tokens = n_steps * batch_size
        if self.every_tokens is not None and self.every_tokens > n_tokens:
            raise ConfigError(
                f"resample.every_tokens is {self.every_tokens:,}, but the run has {n_tokens:,} tokens: it would never happen"
            )

    def due(self, done: int, *, batch_size: int) -> bool:
        """Whether it happens after `done` steps."""
        if done in self.at_steps:
            return True
        every = self.every_tokens
        return every is not None and done * batch_size // every > (done - 1) * batch_size // every


@dataclass(frozen=True, kw_only=True)
class ObjectiveConfig:
    """A loss through the language model, added to each SAE's own (Braun et al. 2024, arXiv:2405.12241)."""

    kind: Literal["none", "ce", "kl"] = "none"
    """"ce": cross-entropy of the next token with the reconstruction in place; "kl": divergence from the model's own logits."""
    weight: float = 1.0
    """Of the loss through the model."""
    reconstruction_weight: float = 1.0
    """Factor on the parts of the SAE's own loss called reconstruction; penalties and auxiliary losses keep theirs. 0: none."""

    def __post_init__(self) -> None:
        _within(self.weight, 0.0, math.inf, "objective.weight")
        _within(self.reconstruction_weight, 0.0, math.inf, "objective.reconstruction_weight")
        if self.kind == "none" and (self.weight, self.reconstruction_weight) != (1.0, 1.0):
            raise ConfigError('objective.kind is "none", so the weights would be ignored.\n  Set objective.kind to "ce" or "kl".')


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """One training run of one or more SAEs on one stream of activations."""

    n_tokens: int | None = None
    """Tokens to learn from (count). None: 20 million, or what n_steps says. More than the corpus holds means several epochs."""
    n_steps: int | None = None
    """Optimiser steps, instead of n_tokens."""
    batch_size: int = 2048
    """Tokens per optimiser step (pairs, for an SAE that learns from pairs)."""
    accumulate: int = 1
    """Parts in which a batch is worked through, to save memory: batch_size is unchanged. So is the result, to rounding, where
    every row has its own loss; what a loss takes over a batch is then taken over each part: the k B largest of BatchTopK and its
    relatives, the variance by which AuxK is divided, the other rows of a contrastive loss."""

    optimiser: Literal["adam", "adamw"] = "adam"
    """"adamw" takes weight decay apart from the gradient; without weight decay the two are one."""
    lr: float | None = None
    """Peak learning rate. None: 2e-4 / sqrt(n_latents / 16,384) for each SAE; more in runs below 30,000 steps (schedule.py)."""
    betas: tuple[float, float] = (0.9, 0.999)
    """Decay rates of Adam's two moments."""
    eps: float = 6.25e-10
    """Added to Adam's denominator. Small, as in Gao et al. 2024: gradients of rare latents are far below the usual 1e-8."""
    weight_decay: float = 0.0
    """Of matrices, not of biases."""
    clip_norm: float | None = 1.0
    """Largest norm of an SAE's whole gradient, after projection. None: never clipped."""
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)
    """Learning rate over the run."""
    sparsity: SparsityConfig = field(default_factory=SparsityConfig)
    """Penalty, k and target L0 over the run."""
    resample: ResampleConfig = field(default_factory=ResampleConfig)
    """Revival of dead latents by resampling."""
    objective: ObjectiveConfig = field(default_factory=ObjectiveConfig)
    """Loss through the language model."""
    ema_decay: float | None = None
    """Weight of the past, per step, in a running mean of the weights; that mean is then what is validated and handed back.
    None: the weights of the last step."""
    autocast: Literal["bfloat16"] | None = None
    """Type of the matrix products; weights and optimiser stay in float32. None: as the weights are."""

    latent_shards: int = 1
    """Parts into which processes divide the latents of each SAE, for widths that one device cannot hold (count). It divides the
    number of processes; the others divide the rows of each batch. 1: each process has all latents."""

    shuffle_window: int | None = None
    """Blocks of contexts over which tokens are mixed: more mix better and hold more activations in memory. None: 8 of a running
    model's, 64 of a store's, whose blocks come from all over it and stay on the disk."""
    start_tokens: int = 16_384
    """Tokens from which scale, decoder bias and variance are measured before the first step."""
    seed: int = 0
    """Of the order of the tokens. Each SAE's weights come from its own seed."""

    log_every: int = 50
    """Steps between rows of metrics.jsonl."""
    checkpoint_every: int | None = None
    """Steps between checkpoints. None: only those of checkpoint_at. The last step always has one."""
    checkpoint_at: tuple[float, ...] = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
    """Fractions of the run, in (0, 1], at which to write a checkpoint as well."""
    keep: int = 2
    """Checkpoints kept: the last so many, and the best of each SAE. None of them is deleted before the next is complete."""
    validate_every: int = 500
    """Steps between measurements on held-out documents; the last step always has one."""
    validation_tokens: int = 16_384
    """Held-out tokens measured each time, always the same ones; their activations stay in memory."""
    best_by: str = "fvu"
    """Which validation number says which checkpoint is the best."""
    best_is: Literal["lowest", "highest"] = "lowest"
    """Which direction of best_by is good."""
    early_stop_patience: int | None = None
    """Validations without a new best after which an SAE stops learning. None: never."""
    trackers: tuple[str, ...] = ()
    """Where metrics go besides metrics.jsonl: tensorboard, wandb, mlflow."""

    def __post_init__(self) -> None:
        if self.n_tokens is not None and self.n_steps is not None:
            raise ConfigError(f"n_tokens ({self.n_tokens}) and n_steps ({self.n_steps}) both say how long to train: give one")
        for name in (
            "n_tokens",
            "n_steps",
            "batch_size",
            "accumulate",
            "shuffle_window",
            "start_tokens",
            "log_every",
            "latent_shards",
        ):
            _at_least(getattr(self, name), 1, name)
        for name in ("checkpoint_every", "keep", "validate_every", "validation_tokens", "early_stop_patience"):
            _at_least(getattr(self, name), 1, name)
        if self.accumulate > self.batch_size:
            raise ConfigError(f"accumulate ({self.accumulate}) cuts a batch of {self.batch_size} into empty parts")
        _positive(self.lr, "lr")
        _positive(self.clip_norm, "clip_norm")
        _within(self.weight_decay, 0.0, math.inf, "weight_decay")
        if self.ema_decay is not None and not 0.0 < self.ema_decay < 1.0:
            raise ConfigError(f"ema_decay is {self.ema_decay}; it must be above 0 and below 1, or None for no mean")
        for beta in self.betas:
            if not 0.0 <= beta < 1.0:
                raise ConfigError(f"betas are {self.betas}; each must be at least 0 and below 1")
        self.resample.require_within(self.steps, batch_size=self.batch_size)
        for fraction in self.checkpoint_at:
            if not 0.0 < fraction <= 1.0:
                raise ConfigError(f"checkpoint_at holds {fraction}; fractions are above 0 and at most 1")

    @property
    def steps(self) -> int:
        """Optimiser steps of the run; the last batch is a whole one."""
        if self.n_steps is not None:
            return self.n_steps
        return math.ceil((self.n_tokens or _DEFAULT_TOKENS) / self.batch_size)

    def window(self, *, any_order: bool) -> int:
        """Blocks over which tokens of a source are mixed; `any_order` is the source's."""
        return self.shuffle_window or (_STORED_WINDOW if any_order else _LIVE_WINDOW)

    def checkpoint_due(self, done: int) -> bool:
        """Whether a checkpoint is planned after `done` steps."""
        at = {math.ceil(fraction * self.steps) for fraction in self.checkpoint_at}
        every = self.checkpoint_every is not None and done % self.checkpoint_every == 0
        return every or done in at or done == self.steps

    def validation_due(self, done: int) -> bool:
        """Whether held-out documents are measured after `done` steps."""
        return done % self.validate_every == 0 or done == self.steps

    def log_due(self, done: int) -> bool:
        """Whether a row of metrics is written after `done` steps."""
        return done % self.log_every == 0 or done == self.steps


def _at_least(value: int | None, smallest: int, name: str) -> None:
    if value is not None and value < smallest:
        raise ConfigError(f"{name} is {value}; it must be at least {smallest}")


def _positive(value: float | None, name: str) -> None:
    if value is not None and not value > 0.0:
        raise ConfigError(f"{name} is {value}; it must be above 0")


def _within(value: float | None, low: float, high: float, name: str) -> None:
    if value is not None and not low <= value <= high:
        raise ConfigError(f"{name} is {value}; it must be from {low:g} to {high:g}")
