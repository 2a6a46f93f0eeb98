"""Probes on the pooled activations of one data set at one site, chosen in two ways, and the side that they are measured on.

Letters: N texts, E texts of the test side, D width, P probes, W weightings of the test side's sources.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

import numpy as np

from monoseme.core.seeds import derive_seed
from monoseme.evaluation import DocumentWeights
from monoseme.evaluation._latent_effects import Bools, Contrasts, Floats, Ints
from monoseme.evaluation._latent_effects_probes import ProbeSchedule, held_back, train_probes
from monoseme.evaluation._latent_effects_scores import accuracies

Rule = Literal["ours", "saebench"]
"""Whose choices: epochs by held-back texts and only latents that favour the class, or epochs by the test side and all latents
with an effect."""
RULES: tuple[Rule, ...] = get_args(Rule)

ContrastsOf = Callable[[Ints], Contrasts]
"""The contrasts of some texts, by their numbers."""


class Probes(NamedTuple):
    """P linear probes."""

    weights: Floats
    """[P, D]."""
    biases: Floats
    """[P]."""
    epochs: Ints
    """[P]: after how many passes each was taken."""

    def logits(self, x: Floats) -> Floats:
        """[E, P] of x [E, D]."""
        return x @ self.weights.T + self.biases


@dataclass(frozen=True, eq=False)
class Trial:
    """What is measured on one data set at one site."""

    train: Ints
    """Numbers of the training texts, those that choose the epoch included."""
    test: Ints
    """Numbers of the test texts."""
    train_contrasts: Contrasts
    test_contrasts: Contrasts
    probes: Mapping[Rule, Probes]
    x: Floats
    """[E, D] of the test texts."""
    centre: Floats
    """[D]: the mean of the training texts."""
    draws: Floats
    """[E, W]: how often each test text counts; the first weighting is the estimate."""
    n_units: int
    """Sources of the test texts."""

    def accuracy(self, logits: Floats, contrast: int) -> Floats:
        """[..., W]: of logits [..., E], held against what that contrast tells apart."""
        found = self.test_contrasts
        return accuracies(logits, found.is_positive[:, contrast], found.weights[:, [contrast]] * self.draws)


class Sides(NamedTuple):
    """The texts of a data set, and what keeps them apart."""

    strata: Ints
    """[N]: class of each, of which every side gets its share."""
    units: Ints
    """[N]: source of each."""
    is_test: Bools
    """[N]."""


def try_probes(
    x: Floats, sides: Sides, contrasts_of: ContrastsOf, schedule: ProbeSchedule, *, n_replicates: int, seed: int
) -> Trial:
    """Trains the probes on x [N, D] of the training side. Raises ConfigError where that is empty."""
    train, test = np.flatnonzero(~sides.is_test), np.flatnonzero(sides.is_test)
    choosing = held_back(sides.strata[train], schedule)
    fitted, held = train[~choosing], train[choosing]
    path = train_probes(x[fitted], contrasts_of(fitted), schedule)
    test_contrasts = contrasts_of(test)
    epochs: dict[Rule, Ints] = {
        "ours": path.least_loss(x[held], contrasts_of(held)),
        "saebench": path.most_accurate(x[test], test_contrasts),
    }
    units, unit_of = np.unique(sides.units[test], return_inverse=True)
    weights = DocumentWeights(n_replicates=n_replicates, seed=derive_seed(seed, "sources")).of([int(unit) for unit in units])
    return Trial(
        train=train,
        test=test,
        train_contrasts=contrasts_of(train),
        test_contrasts=test_contrasts,
        probes={rule: Probes(*path.at(chosen), chosen + 1) for rule, chosen in epochs.items()},
        x=x[test].astype(np.float64),
        centre=x[train].mean(0, dtype=np.float64),
        draws=weights.numpy()[unit_of],
        n_units=len(units),
    )
