"""The probes that SCR and TPP perturb: all of one dataset trained at once, kept after every epoch.

An epoch is chosen afterwards: by the loss on examples held back from training (ours), or by the accuracy on the test side itself,
as SAEBench does. Its probes have thus seen the test, and are often early ones: the first epoch of several that are alike.

Source: Karvonen et al. 2025 (SAEBench), arXiv:2503.09532, and its code: AdamW, L1 penalty, binary cross-entropy.
Differs: negatives are weighted, not drawn, and all probes see the same batches.
Letters: E examples, D width, P probes, J epochs.
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import expit

from monoseme.core.errors import ConfigError
from monoseme.core.seeds import derive_seed
from monoseme.evaluation._latent_effects import Bools, Contrasts, Floats, Ints


@dataclass(frozen=True, kw_only=True)
class ProbeSchedule:
    """How probes are trained; SAEBench's numbers."""

    epochs: int = 20
    """Passes over the training side, of which the best is taken (count)."""
    lr: float = 1e-3
    """Learning rate of AdamW."""
    l1: float = 1e-3
    """Penalty on the sum of the absolute weights."""
    batch_size: int = 32
    """Examples of a step (count)."""
    validation_fraction: float = 0.1
    """Share of the training side that is held back to choose the epoch (fraction)."""
    seed: int = 0
    """Of the order of examples and of what is held back."""

    def __post_init__(self) -> None:
        if min(self.epochs, self.batch_size) < 1 or self.lr <= 0 or self.l1 < 0:
            raise ConfigError("epochs and batch_size must be at least 1, lr above 0 and l1 at least 0")
        if not 0.0 < self.validation_fraction < 1.0:
            raise ConfigError(f"validation_fraction is {self.validation_fraction}; it must be between 0 and 1")


@dataclass(frozen=True, eq=False)
class ProbePath:
    """All probes after every epoch."""

    weights: Floats
    """[J, P, D]."""
    biases: Floats
    """[J, P]."""

    def logits(self, x: Floats) -> Floats:
        """[J, E, P]."""
        return x.astype(np.float64) @ self.weights.transpose(0, 2, 1) + self.biases[:, None]

    def least_loss(self, x: Floats, contrasts: Contrasts) -> Ints:
        """[P]: the epoch at which each probe's cross-entropy on these examples is least; the first of several."""
        wrong = np.where(contrasts.is_positive, -1.0, 1.0) * self.logits(x)
        return (np.logaddexp(0.0, wrong) * contrasts.weights).sum(1).argmin(0)

    def most_accurate(self, x: Floats, contrasts: Contrasts) -> Ints:
        """[P]: the epoch at which each probe is most accurate on these examples; the first of several."""
        right = (self.logits(x) > 0) == contrasts.is_positive
        return (right * contrasts.weights).sum(1).argmax(0)

    def at(self, epochs: Ints) -> tuple[Floats, Floats]:
        """Weights [P, D] and biases [P] of each probe at its epoch."""
        probes = np.arange(len(epochs))
        return self.weights[epochs, probes], self.biases[epochs, probes]


def train_probes(x: Floats, contrasts: Contrasts, schedule: ProbeSchedule) -> ProbePath:
    """Linear probes [P] on x [E, D] by AdamW with an L1 penalty on the weights, in float64; the same seed gives the same bits.

    Raises ConfigError where there is no example.
    """
    n_examples, d = x.shape
    if not n_examples:
        raise ConfigError("there is no example to train probes on: give more texts")
    given = x.astype(np.float64)
    share = contrasts.weights * n_examples  # mean 1 over the examples, so that the loss is a mean too
    rng = np.random.default_rng(derive_seed(schedule.seed, "probes"))
    start = rng.uniform(-1, 1, size=(contrasts.weights.shape[1], d + 1)) / np.sqrt(d)  # as torch begins a linear layer
    weights, biases = _AdamW(start[:, :d], schedule.lr), _AdamW(start[:, d], schedule.lr)
    kept: list[tuple[Floats, Floats]] = []
    for _ in range(schedule.epochs):
        order = rng.permutation(n_examples)
        for first in range(0, n_examples, schedule.batch_size):
            rows = order[first : first + schedule.batch_size]
            logits = given[rows] @ weights.now.T + biases.now
            pull = (expit(logits) - contrasts.is_positive[rows]) * share[rows] / len(rows)
            weights.step(pull.T @ given[rows] + schedule.l1 * np.sign(weights.now))
            biases.step(pull.sum(0))
        kept.append((weights.now, biases.now))
    return ProbePath(np.stack([w for w, _ in kept]), np.stack([b for _, b in kept]))


class _AdamW:
    """One array on its way, with torch's constants: decay 0.01, averages of 0.9 and 0.999. Loading torch's own takes seconds.

    Source: Loshchilov and Hutter 2019, arXiv:1711.05101.
    """

    def __init__(self, start: Floats, lr: float) -> None:
        self.now, self.lr = start, lr
        self._mean, self._square, self._n = np.zeros_like(start), np.zeros_like(start), 0

    def step(self, grad: Floats) -> None:
        """Goes on by one step; arrays handed out before stay as they are."""
        self._n += 1
        self._mean = 0.9 * self._mean + 0.1 * grad
        self._square = 0.999 * self._square + 0.001 * grad**2
        size = np.sqrt(self._square / (1 - 0.999**self._n)) + 1e-8
        self.now = self.now * (1 - 0.01 * self.lr) - self.lr * self._mean / (1 - 0.9**self._n) / size


def held_back(labels: Ints, schedule: ProbeSchedule) -> Bools:
    """[E]: which training examples choose the epoch, the same share of every class, at least one where a class has two."""
    rng = np.random.default_rng(derive_seed(schedule.seed, "held back"))
    chosen = np.zeros(len(labels), dtype=bool)
    for label in np.unique(labels):
        members = rng.permutation(np.flatnonzero(labels == label))
        n = max(1, round(schedule.validation_fraction * len(members)))
        chosen[members[: min(n, len(members) - 1)]] = True
    return chosen
