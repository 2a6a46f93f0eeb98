"""What every explanation is held against: the explanation of another latent, an empty one, and a table of tokens.

A judge that guesses well from the text alone gives the empty explanation a good score, and one that says "fires" to whatever is
striking gives another latent's explanation a good score: an explanation is worth what it scores above them.
"""

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

import numpy as np

from monoseme.atlas.said import Explanation
from monoseme.core.seeds import derive_seed

Told = Literal["own", "other", "empty", "lookup"]
"""Whose explanation a judge was given: the latent's own, another latent's, none; `lookup`: no judge, the table of its tokens."""


class Version(NamedTuple):
    """An explanation as a judge is told it."""

    told: Told
    text: str | None
    """None: no explanation."""
    of: int | None
    """The latent whose explanation it is; None for none."""


def versions(own: Explanation, other: Explanation | None, *, with_controls: bool) -> list[Version]:
    """The explanation, then its controls. There is no other one where nothing else was explained."""
    found = [Version("own", own.text, own.latent)]
    if with_controls and other is not None:
        found.append(Version("other", other.text, other.latent))
    return [*found, Version("empty", None, None)] if with_controls else found


def others_of(
    explanations: Sequence[Explanation], *, seed: int, scorer: str, is_told: Callable[[Explanation], object]
) -> list[Explanation | None]:
    """For each explanation one of another latent: the next along a seeded shuffle of those that `is_told` holds of.

    One that it does not hold of gets the first of the shuffle; None where there is no other.
    """
    told = [i for i, explanation in enumerate(explanations) if is_told(explanation)]
    order: list[int] = np.random.default_rng(derive_seed(seed, scorer, "other")).permutation(told).astype(int).tolist()
    place = {i: k for k, i in enumerate(order)}
    return [_next(explanations, i, order, begin=place.get(i, -1) + 1) for i in range(len(explanations))]


def _next(explanations: Sequence[Explanation], own: int, order: list[int], *, begin: int) -> Explanation | None:
    """The first from there on that says something else of another latent: two latents with one text are no control."""
    mine = explanations[own]
    turned = order[begin:] + order[:begin]
    usable = (explanations[i] for i in turned if explanations[i].latent != mine.latent and explanations[i].text != mine.text)
    return next(usable, None)
