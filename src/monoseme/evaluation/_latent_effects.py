"""Which latents move a probe, and what the probe says once they are ablated: arrays only, no model and no SAE.

A probe reads the mean of an example's activations. Decoders are linear, so that taking a latent out of every token, with the
SAE's error left as it is, takes z_ej W_dec_j out of this mean, where z_ej is the mean of its code over the example's tokens. The
logit of a probe w then falls by z_ej (W_dec_j . w): no forward and no decode is needed for any set of latents.

Source: Karvonen et al. 2025 (SAEBench), arXiv:2503.09532, appendices on SCR and TPP; Marks et al. 2024 (SHIFT), arXiv:2403.19647.
Letters: E examples, F latents, D width, P probes, N numbers of latents, M latents that are ablated.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from monoseme.evaluation._csr import Csr

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

Chosen = Literal["positive", "nonzero"]
"""Of which sign effects may be: only latents that favour the class, or all that have any effect (SAEBench)."""


class Contrasts(NamedTuple):
    """What each of P probes tells apart, and how much each example counts there."""

    names: tuple[str, ...]
    is_positive: Bools
    """[E, P]."""
    weights: Floats
    """[E, P]: 0 for examples that the probe is not about; those of each side sum to 1/2, so that neither side is favoured."""

    def kept(self, rows: Bools) -> "Contrasts":
        """Those of some examples. Weights are not summed anew: both sides keep their shares of a split by class."""
        return Contrasts(self.names, self.is_positive[rows], self.weights[rows])


def one_against_rest(labels: Ints, names: Sequence[str]) -> Contrasts:
    """A probe for each class. Its negatives are all other classes, each with the same weight however many examples it has."""
    n_classes = len(names)
    is_positive = labels[:, None] == np.arange(n_classes)
    counts = np.maximum(np.bincount(labels, minlength=n_classes), 1)
    share = np.where(is_positive, 0.5, 0.5 / max(n_classes - 1, 1))
    return Contrasts(tuple(names), is_positive, share / counts[labels][:, None])


def two_attributes(first: Bools, second: Bools, names: Sequence[str]) -> Contrasts:
    """Three probes: of the first attribute, of the second, and of both where they go together (the biased one).

    The four combinations have the same weight in the first two, so that neither attribute tells of the other. The biased probe
    knows only examples that have both or neither.
    """
    cell = 2 * first.astype(np.int64) + second
    weight = 1 / np.maximum(np.bincount(cell, minlength=4), 1)[cell]
    biased = np.where(first == second, weight / 2, 0.0)
    is_positive = np.stack([first, second, first & second], axis=1)
    return Contrasts(tuple(names), is_positive, np.stack([weight / 4, weight / 4, biased], axis=1))


def mean_differences(codes: Csr, contrasts: Contrasts) -> Floats:
    """[P, F]: mean of each latent over the probe's positive examples less that over its negative ones, as they are weighted."""
    signed = np.where(contrasts.is_positive, 2.0, -2.0) * contrasts.weights
    return np.asarray((codes.T @ signed).T)


def effects_of(differences: Floats, pulls: Floats, *, clamped: bool) -> Floats:
    """[P, F]: how much each latent moves each probe, to first order exact: difference of means times W_dec . w.

    `pulls` [P, F] is W_dec . w. `clamped`, as TPP has it: latents that are lower in the class count as 0 and the sign of the
    pull stays. Otherwise, as SCR has it, only the size counts.
    """
    return np.maximum(differences, 0.0) * pulls if clamped else np.abs(differences * pulls)


def strongest(effects: Floats, n: int, *, chosen: Chosen = "positive") -> Ints:
    """At most `n` latents by falling effect [F]; ties go to the lower number. Fewer, where fewer have such an effect."""
    order = np.argsort(-effects, kind="stable")
    allowed = effects[order] > 0 if chosen == "positive" else effects[order] != 0
    return order[allowed][:n]


def ablated_logits(logits: Floats, codes: Csr, pulls: Floats, latents: Ints, counts: Sequence[int]) -> Floats:
    """[N, E, P]: the logits [E, P] after the first n of `latents` [M] are set to 0, for each n of the rising `counts`.

    Where there are fewer than n latents, all of them are.
    """
    taken = np.asarray(codes[:, latents].toarray(), dtype=np.float64)
    now, start, found = logits.astype(np.float64), 0, list[Floats]()
    for n in counts:
        now = now - taken[:, start:n] @ pulls[:, latents[start:n]].T
        start = n
        found.append(now)
    return np.stack(found)


def without_direction(x: Floats, direction: Floats, centre: Floats) -> Floats:
    """[E, D]: x with its spread about `centre` along one direction taken out: what no linear probe of that direction survives."""
    unit = direction / max(float(np.linalg.norm(direction)), np.finfo(np.float64).tiny)
    return x - ((x - centre) @ unit)[:, None] * unit
