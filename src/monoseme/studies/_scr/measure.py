"""Spurious correlation removal by every SAE on one pair of attributes, under both rules, and by what it is held against.

Direction 0 asks the biased probe for the first label and ablates the latents of the second; direction 1 is the reverse.
Letters: N numbers of latents, W weightings of the test side's sources, T = 2 directions.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from monoseme.core.seeds import derive_seed
from monoseme.evaluation._latent_effects import Floats
from monoseme.evaluation._latent_effects_scores import headline, removal
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
from monoseme.studies._scr.pairs import Pair

_BIASED = 2
"""Number of the biased probe."""


class Removed(NamedTuple):
    """One SAE on one pair."""

    subject: str
    is_control: bool
    counts: tuple[int, ...]
    """Of the numbers asked for, those that it has latents for."""
    directions: dict[Rule, Floats]
    """SCR of both directions [T, N, W], NaN where the cue cost nothing."""
    scr: Floats
    """[N, W]: of the direction that was worse before."""
    random: Floats
    """[N, W]: the same with random latents, mean over draws."""
    as_saebench: Floats | None
    """[N]: 0 where the cue cost nothing; None where both directions tie."""
    ablated: list[Ablated]
    """Of the first and the second label, by our rule."""


class OfPair(NamedTuple):
    """A pair at one site."""

    pair: Pair
    site: str
    trial: Trial
    clean: dict[Rule, Floats]
    """[T, W]: accuracy of the unbiased probe of each label."""
    original: dict[Rule, Floats]
    """[T, W]: accuracy of the biased probe, asked for each label."""
    of_direction: Floats
    """[W]: SCR with the other label's probe direction taken out whole."""
    found: list[Removed]


def measure(pair: Pair, pooled: Pooled, site: Site, rivals: Sequence[Rival], config: PerturbationConfig) -> OfPair:
    """Trains the three probes and takes the spurious cue away with every rival."""
    trial = try_probes(
        pooled.activations[site][pair.rows].astype(np.float64),
        Sides(pair.cells, pooled.texts.units[pair.rows], pair.is_test),
        pair.contrasts,
        config.probe,
        n_replicates=config.n_replicates,
        seed=derive_seed(config.seed, pair.dataset, pair.name),
    )
    clean: dict[Rule, Floats] = {}
    original: dict[Rule, Floats] = {}
    for rule in RULES:
        logits = trial.probes[rule].logits(trial.x)
        clean[rule] = np.stack([trial.accuracy(logits[:, t], t) for t in range(2)])
        original[rule] = np.stack([trial.accuracy(logits[:, _BIASED], t) for t in range(2)])
    made = OfPair(pair, str(site), trial, clean, original, np.zeros(0), [])
    of_direction = headline(_scr(made, [z[None] for z in ablate_directions(trial)], "ours"), original["ours"][:, 0])
    here = [rival._replace(written=rival.written[pair.rows]) for rival in rivals]
    return made._replace(of_direction=of_direction[0], found=[_one(made, rival, config) for rival in here])


def _one(made: OfPair, rival: Rival, config: PerturbationConfig) -> Removed:
    counts = tuple(n for n in config.n_latents if n <= rival.n_latents)
    strongest = {rule: ablate_strongest(made.trial, rival, counts, rule=rule, clamped=False) for rule in RULES}
    directions: dict[Rule, Floats] = {rule: _scr(made, [a.logits for a in strongest[rule]], rule) for rule in RULES}
    before = made.original["ours"][:, 0]
    draws = [
        headline(_scr(made, ablate_random(made.trial, rival, counts, seed=derive_seed(config.seed, "draw", i)), "ours"), before)
        for i in range(config.n_draws)
    ]
    theirs = made.original["saebench"][:, 0]
    zeroed = np.nan_to_num(directions["saebench"][:, :, 0], nan=0.0)
    return Removed(
        rival.name,
        rival.is_control,
        counts,
        directions,
        headline(directions["ours"], before),
        np.mean(draws, axis=0),
        None if theirs[0] == theirs[1] else headline(zeroed, theirs),
        strongest["ours"][:2],
    )


def _scr(made: OfPair, ablated: Sequence[Floats], rule: Rule) -> Floats:
    """[T, N, W] of the logits [N, E, P] that are left once the first and the second label's latents are ablated."""
    return np.stack(
        [
            removal(made.trial.accuracy(ablated[1 - t][:, :, _BIASED], t), made.original[rule][t], made.clean[rule][t])
            for t in range(2)
        ]
    )
