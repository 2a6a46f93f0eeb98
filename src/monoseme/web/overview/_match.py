"""The latents of two SAEs matched by the cosine of their directions: each with its nearest, both ways, beside what chance gives.

Source: Sharkey et al. 2022, "Taking features out of superposition with sparse autoencoders" (mean max cosine similarity). One to
one matchings and correlations of codes are the study `dictionaries`, which reads text.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from monoseme.web.overview._directions import Dictionary, Directions
from monoseme.web.overview._jobs import Tell
from monoseme.web.overview.compare_answers import Match, MatchSide
from monoseme.web.run_files import UnavailableError
from monoseme.web.values import Histogram

if TYPE_CHECKING:
    from torch import Tensor

    from monoseme.evaluation import Nearest

THRESHOLDS = (0.5, 0.7, 0.9)
_EDGES = np.linspace(-0.2, 1.0, 49)
_DRAWN = 512
"""Latents that are compared with random directions."""
_ROWS = 4096
"""Latents compared at a time: of 65,536 with as many of width 768, some seconds."""


class Matched(NamedTuple):
    """Pairs in the order of a's latents, and what they come to."""

    latents: NDArray[np.int32]
    """[n] numbers in a."""
    partners: NDArray[np.int32]
    """[n] numbers in b."""
    cosines: NDArray[np.float64]
    """[n]"""
    is_mutual: NDArray[np.bool_]
    """[n]"""
    summary: Match


def matched(a: Dictionary, b: Dictionary, tell: Tell) -> Matched:
    """Each latent of a with its nearest of b. Raises UnavailableError where the two have no basis in common, or nothing fires."""
    import torch

    if (why := a.basis.why_apart(b.basis)) is not None:
        raise UnavailableError(f"directions of the two cannot be compared: {why}")
    if not len(a.directions.rows) or not len(b.directions.rows):
        raise UnavailableError("directions of the two cannot be compared: one of them has no latent that fires")
    ours, theirs = torch.from_numpy(a.directions.rows), torch.from_numpy(b.directions.rows)
    there = _nearest(ours, theirs, lambda share: tell("nearest latents of the first", share))
    back = _nearest(theirs, ours, lambda share: tell("nearest latents of the second", share))
    tell("what chance gives", None)
    is_mutual = back.partner[there.partner] == np.arange(len(there.partner))
    summary = Match(
        a=_side(a.directions, there.similarity, n_others=len(theirs)),
        b=_side(b.directions, back.similarity, n_others=len(ours)),
        thresholds=list(THRESHOLDS),
        n_mutual=int(is_mutual.sum()),
    )
    partners = b.directions.latents[there.partner]
    return Matched(a.directions.latents, partners, there.similarity, is_mutual, summary)


def _nearest(rows: "Tensor", others: "Tensor", tell: Callable[[float], None]) -> "Nearest":
    """The largest cosine of each row with one of `others`, some rows at a time."""
    from monoseme.evaluation import Nearest, largest_cosines

    found: list[Nearest] = []
    for start in range(0, len(rows), _ROWS):
        tell(start / len(rows))
        found.append(largest_cosines(rows[start : start + _ROWS], others))
    return Nearest(np.concatenate([each.similarity for each in found]), np.concatenate([each.partner for each in found]))


def _side(directions: Directions, cosines: NDArray[np.float64], *, n_others: int) -> MatchSide:
    from monoseme.evaluation import spread

    about = spread(cosines)
    counts, _ = np.histogram(np.clip(cosines, _EDGES[0], _EDGES[-1]), bins=_EDGES)
    return MatchSide(
        n=len(cosines),
        left_out=directions.left_out,
        mean_cosine=float(cosines.mean()),
        standard_error=about.sem,
        shares=_shares(cosines),
        chance=_shares(_by_chance(directions.rows, n_others=n_others)),
        histogram=Histogram(edges=[round(float(edge), 4) for edge in _EDGES], counts=[int(n) for n in counts]),
    )


def _shares(cosines: NDArray[np.float64]) -> list[float]:
    return [float((cosines >= least).mean()) for least in THRESHOLDS]


def _by_chance(rows: NDArray[np.float32], *, n_others: int) -> NDArray[np.float64]:
    """The largest cosine of some latents with as many random directions as the other SAE has latents."""
    import torch

    from monoseme.core.seeds import generator
    from monoseme.evaluation import largest_cosines

    step = max(1, len(rows) // _DRAWN)
    drawn = torch.randn(n_others, rows.shape[1], generator=generator(0, "web", "chance"))
    return largest_cosines(torch.from_numpy(rows[::step].copy()), drawn).similarity
