"""Targeted probe perturbation of every SAE on one data set, under both rules, and of what it is held against.

Letters: P classes, N numbers of latents, W weightings of the test side's sources.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from monoseme.core.errors import ConfigError
from monoseme.core.seeds import derive_seed
from monoseme.evaluation._latent_effects import Floats, one_against_rest
from monoseme.evaluation._latent_effects_scores import Perturbation, perturbation
from monoseme.models import Site
from monoseme.studies._labelled.pooled import Pooled
from monoseme.studies._perturbation.ablated import (
    Ablated,
    Rival,
    ablate_directions,
    ablate_random,
    ablate_strongest,
)
from monoseme.studies._perturbation.config import PerturbationConfig
from monoseme.studies._perturbation.trial import RULES, Rule, Sides, Trial, try_probes

FEWEST_CLASSES = 3
"""With two, the two probes are one probe with another sign: what one loses the other loses, and TPP is 0 for every SAE."""


class Perturbed(NamedTuple):
    """One SAE on one data set."""

    subject: str
    is_control: bool
    counts: tuple[int, ...]
    """Of the numbers asked for, those that it has latents for."""
    by_rule: dict[Rule, Perturbation]
    """[P, N, W]."""
    random: Perturbation
    """The same number of random latents, mean over draws."""
    ablated: list[Ablated]
    """Of each class, by our rule."""


class OfDataset(NamedTuple):
    """A data set at one site."""

    dataset: str
    site: str
    classes: tuple[str, ...]
    trial: Trial
    clean: dict[Rule, Floats]
    """Accuracies [P, W] of the probes."""
    directions: Perturbation
    """[P, 1, W]: of the probes' own directions taken out."""
    found: list[Perturbed]


def sides_of(pooled: Pooled, seed: int) -> Sides:
    """Which texts train and which test. Raises ConfigError for fewer than three classes."""
    texts = pooled.texts
    if len(texts.classes) < FEWEST_CLASSES:
        raise ConfigError(
            f"{texts.name} has {len(texts.classes)} classes, and TPP needs {FEWEST_CLASSES} or more: with two, what one probe "
            "loses the other loses too, and it is 0 for every SAE.\n  Name texts of more classes with --dataset, or --corpus "
            "and --label"
        )
    return Sides(texts.labels, texts.units, texts.test_side(seed))


def measure(pooled: Pooled, site: Site, rivals: Sequence[Rival], config: PerturbationConfig) -> OfDataset:
    """Raises ConfigError as `sides_of`."""
    texts = pooled.texts
    trial = try_probes(
        pooled.activations[site].astype(np.float64),
        sides_of(pooled, config.seed),
        lambda rows: one_against_rest(texts.labels[rows], texts.classes),
        config.probe,
        n_replicates=config.n_replicates,
        seed=derive_seed(config.seed, texts.name),
    )
    clean: dict[Rule, Floats] = {rule: _scored(trial, trial.probes[rule].logits(trial.x)) for rule in RULES}
    directions = perturbation(clean["ours"], np.stack([_scored(trial, z)[None] for z in ablate_directions(trial)]))
    return OfDataset(
        texts.name, str(site), texts.classes, trial, clean, directions, [_one(trial, clean, each, config) for each in rivals]
    )


def _one(trial: Trial, clean: dict[Rule, Floats], rival: Rival, config: PerturbationConfig) -> Perturbed:
    counts = tuple(n for n in config.n_latents if n <= rival.n_latents)
    strongest = {rule: ablate_strongest(trial, rival, counts, rule=rule, clamped=True) for rule in RULES}
    draws = [ablate_random(trial, rival, counts, seed=derive_seed(config.seed, "draw", i)) for i in range(config.n_draws)]
    return Perturbed(
        rival.name,
        rival.is_control,
        counts,
        {rule: perturbation(clean[rule], _each(trial, [a.logits for a in strongest[rule]])) for rule in RULES},
        perturbation(clean["ours"], np.mean([_each(trial, draw) for draw in draws], axis=0)),
        strongest["ours"],
    )


def _each(trial: Trial, ablated: Sequence[Floats]) -> Floats:
    """Accuracies [P (class), N, P (probe), W] of logits [N, E, P] for each class."""
    return np.stack([np.stack([_scored(trial, logits) for logits in of_class]) for of_class in ablated])


def _scored(trial: Trial, logits: Floats) -> Floats:
    """Accuracies [P, W] of logits [E, P]."""
    return np.stack([trial.accuracy(logits[:, p], p) for p in range(logits.shape[1])])
