"""Whether codes tell the events of a text apart: similarity within and across, and how sharply it drops at a boundary.

Four things look like event structure and are not; each has its own control.

- Tokens close together are alike, and codes drift along a text: similarity within and across events is compared at the same
  distance, and with the same text cut elsewhere into as many events (`event_gap`).
- A sentence ends wherever an event ends: boundaries are compared with the ends of sentences inside events (`auroc_ends`).
- Codes move fastest where a text begins, and a sentence ends there too: gaps before `start` tokens are left out everywhere.
- A window sees a change wherever it is placed: boundaries are compared with all other places (`auroc`), and the detection with
  scores put in random order (`f1_chance`).

Source of the score: Foote 2000, "Automatic audio segmentation using a measure of audio novelty" (a checkerboard moved along the
diagonal of the similarity matrix), here without the diagonal itself, which would count how sparse a code is.
Letters: T tokens, G = T - 1 gaps between neighbours, F latents.
"""

import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from monoseme.core.seeds import derive_seed
from monoseme.studies._predictability.texts import EventText, Span

Array = NDArray[np.float64]
_SENTENCE_END = re.compile(r"[.!?。！？…][\"'”’»)\]]*(?=\s|$)")
_N_SHUFFLES, _N_CUTS = 100, 30
"""Random orders behind the F1 of chance, whose standard error is then below 0.03 for one text, and random cuts of it."""


class Layout(NamedTuple):
    """Where a text's tokens are in its events."""

    event: NDArray[np.int64]
    """[T], from 0."""
    boundaries: tuple[int, ...]
    """Gaps between events; gap g lies between tokens g and g + 1."""
    ends: tuple[int, ...]
    """Gaps where a sentence ends inside an event."""


def layout(text: EventText, spans: Sequence[Span]) -> Layout:
    """Events and sentence ends of the tokens with these characters."""
    stops = np.array([event.stop for event in text.events])
    last = np.array([max(span.stop - 1, span.start) for span in spans])
    event = np.minimum(np.searchsorted(stops, last, side="right"), len(stops) - 1)
    boundaries = tuple(int(g) for g in np.flatnonzero(np.diff(event)))
    ends = [int(np.sum(last < match.end())) - 1 for match in _SENTENCE_END.finditer(text.text)]
    inside = {g for g in ends if 0 <= g < len(last) - 1} - set(boundaries)
    return Layout(event, boundaries, tuple(sorted(inside)))


def similarity(codes: Array) -> Array:
    """Cosines [T, T] of the rows of codes [T, F], their mean over the text taken out; 0 for a row that is the mean."""
    centred = codes - codes.mean(0)
    norms = np.linalg.norm(centred, axis=1, keepdims=True)
    # What is left of a constant code is rounding, and has no direction.
    is_there = norms > 1e-12 * max(float(np.abs(codes).max(initial=0.0)), 1e-300)
    directions = np.divide(centred, norms, out=np.zeros_like(centred), where=is_there)
    return directions @ directions.T


def novelty(matrix: Array, *, window: int) -> Array:
    """How much alike the tokens on either side of a gap are among themselves, less how alike the sides are: [G].

        (mean within the `window` tokens before + mean within the `window` after) / 2 - mean between the two

    NaN where a window would leave the text.
    """
    n = len(matrix)
    made = np.full(max(n - 1, 0), np.nan)
    pairs = ~np.eye(window, dtype=bool)
    for gap in range(window - 1, n - window):
        before, after = slice(gap - window + 1, gap + 1), slice(gap + 1, gap + 1 + window)
        within = (matrix[before, before][pairs].mean() + matrix[after, after][pairs].mean()) / 2
        made[gap] = within - matrix[before, after].mean()
    return made


class EventMeasures(NamedTuple):
    """What one code makes of one text; NaN where a number does not exist."""

    within: float
    """Mean similarity of two tokens of one event."""
    across: float
    """Of two tokens of different events."""
    event_gap: float
    """within - across of tokens equally far apart, mean over distances, less the same with moved boundaries."""
    sharpness: float
    """Novelty at boundaries less that at all other gaps."""
    sharpness_ends: float
    """Novelty at boundaries less that at sentence ends inside events."""
    auroc: float
    """Chance that a boundary has more novelty than another gap."""
    auroc_ends: float
    """Chance that a boundary has more novelty than the end of a sentence inside an event."""
    f1: float
    """Of as many detected boundaries as there are, each within the tolerance of a true one."""
    f1_chance: float
    """The same with the scores in random order."""


def measure(codes: Array, places: Layout, *, window: int, tolerance: int, seed: int, start: int = 0) -> EventMeasures:
    """All measures of the codes [T, F] of a text; `tolerance` in tokens.

    Gaps with fewer than `start` tokens before them do not count.
    """
    matrix = similarity(codes)
    score = novelty(matrix, window=window)
    score[: max(start - 1, 0)] = np.nan
    known = np.flatnonzero(np.isfinite(score))
    boundaries = np.array([g for g in places.boundaries if g in known], dtype=np.int64)
    away = np.array([g for g in known.tolist() if _distance(g, places.boundaries) > tolerance], dtype=np.int64)
    ends = np.array([g for g in places.ends if g in away], dtype=np.int64)
    random = np.random.default_rng(seed)
    alike = likeness(matrix, places.event)
    by_chance = [likeness(matrix, random_cut(places.event, random)).gap for _ in range(_N_CUTS)]
    shuffled = [_f1(random.permutation(score[known]), known, boundaries, tolerance) for _ in range(_N_SHUFFLES)]
    return EventMeasures(
        within=alike.within,
        across=alike.across,
        event_gap=alike.gap - _mean(np.array(by_chance)),
        sharpness=_mean(score[boundaries]) - _mean(score[away]),
        sharpness_ends=_mean(score[boundaries]) - _mean(score[ends]),
        auroc=_auroc(score[boundaries], score[away]),
        auroc_ends=_auroc(score[boundaries], score[ends]),
        f1=_f1(score[known], known, boundaries, tolerance),
        f1_chance=_mean(np.array(shuffled)),
    )


def text_seed(seed: int, name: str) -> int:
    """Of what is drawn for one text."""
    return derive_seed(seed, "events", name)


class Likeness(NamedTuple):
    """Mean similarity of two tokens of one event, of different ones, and the difference at the same distance."""

    within: float
    across: float
    gap: float


def likeness(matrix: Array, event: NDArray[np.int64]) -> Likeness:
    """Of a similarity matrix [T, T] and the event of each token [T].

    A distance weighs as much as it has pairs of the rarer kind.
    """
    n = len(matrix)
    first, second = np.triu_indices(n, 1)
    values, same, lag = matrix[first, second], event[first] == event[second], second - first
    sums = [np.bincount(lag[chosen], values[chosen], n) for chosen in (same, ~same)]
    counts = [np.bincount(lag[chosen], minlength=n) for chosen in (same, ~same)]
    both = (counts[0] > 0) & (counts[1] > 0)
    gaps = sums[0][both] / counts[0][both] - sums[1][both] / counts[1][both]
    weights = np.minimum(*counts)[both]
    gap = float((weights * gaps).sum() / weights.sum()) if both.any() else np.nan
    return Likeness(_mean(values[same]), _mean(values[~same]), gap)


def random_cut(event: NDArray[np.int64], random: np.random.Generator) -> NDArray[np.int64]:
    """The tokens cut into as many events, each boundary moved by up to half the mean length of an event to either side.

    Moved, not drawn anew: cuts of other lengths pair other places of the text, and a drift is not equally fast everywhere.
    """
    boundaries = np.flatnonzero(np.diff(event)) + 1
    reach = len(event) // (2 * (len(boundaries) + 1))
    moved = np.sort(boundaries + random.integers(-reach, reach + 1, len(boundaries)))
    place = np.arange(len(boundaries))
    apart = np.maximum.accumulate(np.maximum(moved, 1) - place) + place  # no event without a token
    return np.searchsorted(np.minimum(apart, len(event) - len(boundaries) + place), np.arange(len(event)), side="right")


def _f1(score: Array, gaps: NDArray[np.int64], boundaries: NDArray[np.int64], tolerance: int) -> float:
    """Precision, which is recall, of the highest scores, taken one by one at more than the tolerance from each other."""
    if not len(boundaries):
        return np.nan
    found: list[int] = []
    for i in np.argsort(-score, kind="stable"):
        if len(found) < len(boundaries) and _distance(int(gaps[i].item()), found) > tolerance:
            found.append(int(gaps[i]))
    left = list(found)
    hits = 0
    for boundary in boundaries:
        if near := [g for g in left if abs(g - boundary) <= tolerance]:
            left.remove(min(near, key=lambda g: (abs(g - boundary), g)))
            hits += 1
    return hits / len(boundaries)


def _auroc(high: Array, low: Array) -> float:
    if not len(high) or not len(low):
        return np.nan
    return float(stats.mannwhitneyu(high, low, method="asymptotic").statistic) / (len(high) * len(low))


def _distance(gap: int, places: Sequence[int]) -> float:
    return min((abs(gap - place) for place in places), default=np.inf)


def _mean(values: Array) -> float:
    return float(values.mean()) if len(values) else np.nan
