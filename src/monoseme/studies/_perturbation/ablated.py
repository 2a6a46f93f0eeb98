"""What the probes of a trial say once latents are ablated: the strongest, random ones of the same number, or a whole direction.

Letters: E test texts, F latents, D width, P probes, N numbers of latents.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from monoseme.core.seeds import derive_seed
from monoseme.evaluation._csr import Csr
from monoseme.evaluation._latent_effects import (
    Floats,
    Ints,
    ablated_logits,
    effects_of,
    mean_differences,
    strongest,
    without_direction,
)
from monoseme.studies._perturbation.trial import Rule, Trial


class Rival(NamedTuple):
    """An SAE, or what it is held against, on one data set."""

    name: str
    written: Csr
    """[texts, F]: means of the codes, in multiples of the decoder's rows."""
    writes: Floats
    """[F, D]: the decoder's rows."""
    is_control: bool = False

    @property
    def n_latents(self) -> int:
        """F."""
        return len(self.writes)


class Ablated(NamedTuple):
    """The test side after the latents of one contrast are ablated."""

    latents: Ints
    """Strongest first; those that n of them are."""
    effects: Floats
    """Of these."""
    logits: Floats
    """[N, E, P]."""


def ablate_strongest(trial: Trial, rival: Rival, counts: Sequence[int], *, rule: Rule, clamped: bool) -> list[Ablated]:
    """Of each contrast: its strongest latents on the training side are ablated on the test side. `clamped` as `effects_of`."""
    probes = trial.probes[rule]
    pulls = probes.weights @ rival.writes.T
    effects = effects_of(mean_differences(_rows(rival, trial.train), trial.train_contrasts), pulls, clamped=clamped)
    codes, logits = _rows(rival, trial.test), probes.logits(trial.x)
    made: list[Ablated] = []
    for each in effects:
        latents = strongest(each, max(counts), chosen="positive" if rule == "ours" else "nonzero")
        made.append(Ablated(latents, each[latents], ablated_logits(logits, codes, pulls, latents, counts)))
    return made


def ablate_random(trial: Trial, rival: Rival, counts: Sequence[int], *, seed: int) -> list[Floats]:
    """Logits [N, E, P] of our probes with random latents ablated that fire on the training side: a set for each contrast."""
    probes = trial.probes["ours"]
    pulls = probes.weights @ rival.writes.T
    firing = np.flatnonzero(np.asarray((_rows(rival, trial.train) != 0).sum(0)).ravel())
    codes, logits = _rows(rival, trial.test), probes.logits(trial.x)
    made: list[Floats] = []
    for name in trial.train_contrasts.names:
        rng = np.random.default_rng(derive_seed(seed, "random latents", rival.name, name))
        made.append(ablated_logits(logits, codes, pulls, rng.permutation(firing)[: max(counts)], counts))
    return made


def ablate_directions(trial: Trial, *, rule: Rule = "ours") -> list[Floats]:
    """Of each contrast: logits [E, P] with its probe's own direction taken out of the activations."""
    probes = trial.probes[rule]
    return [probes.logits(without_direction(trial.x, weight, trial.centre)) for weight in probes.weights]


def _rows(rival: Rival, rows: Ints) -> Any:
    return rival.written[rows]
