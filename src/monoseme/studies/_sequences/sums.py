"""What is summed over one long text: how much of a code lies between passages, how much it changes at a border, how fast.

Everything is a sum over tokens, windows or borders, so that texts add up and can be resampled. All in float64.
Letters: T tokens of the text, P passages, F latents, K shifts, R reach.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from monoseme.evaluation._csr import Csr, members

_LEAST_REFERENCE = 8
"""Tokens from which the mean code of a passage is taken, at the least."""


class Track(NamedTuple):
    """The code of one text, token by token."""

    codes: Csr
    """[T, F]."""
    passage: NDArray[np.int64]
    """[T] passage of each token, ascending."""
    context: NDArray[np.int64]
    """[T] context of each token, ascending."""


class Spread(NamedTuple):
    """Sums of squares of each latent, [F]."""

    total: NDArray[np.float64]
    """Around the latent's mean over the text."""
    between: NDArray[np.float64]
    """Of the passages' means around it, each as often as the passage has tokens."""
    shifted: NDArray[np.float64]
    """The same with the passages moved along the text, the end coming first again; the mean over all shifts."""


def spread(track: Track, *, n_shifts: int) -> Spread:
    """How each latent's activation divides between passages and within them.

    Moving the borders keeps the lengths of passages and all that the code does by itself: what a latent owes to its own slowness,
    to chance, or to places that come back regularly (the start of each context) is in `shifted` as well.
    """
    n_tokens = len(track.passage)
    offsets = [0, *(round(n_tokens * i / (n_shifts + 1)) for i in range(1, n_shifts + 1))]
    sums = [_sums_by_passage(track.codes, np.roll(track.passage, offset)) for offset in offsets]
    whole = np.asarray(track.codes.sum(axis=0)).ravel()
    about_mean = whole**2 / n_tokens
    squares = np.asarray(track.codes.multiply(track.codes).sum(axis=0)).ravel()
    shifted = np.mean(sums[1:], axis=0) if n_shifts else np.full_like(whole, np.nan)
    return Spread(squares - about_mean, sums[0] - about_mean, shifted - about_mean)


def _sums_by_passage(codes: Csr, passage: NDArray[np.int64]) -> NDArray[np.float64]:
    """[F] sum over passages of (sum of its tokens)^2 / tokens."""
    n_of = np.bincount(passage)
    sums = members(passage, len(n_of)) @ codes
    return np.asarray((sparse.diags_array(1.0 / np.maximum(n_of, 1)) @ sums.multiply(sums)).sum(axis=0)).ravel()


class Borders(NamedTuple):
    """Sums over places, each between two tokens with a window of tokens on either side."""

    change: dict[str, float]
    """Kind of place -> sum of |mean code after - mean code before|^2."""
    n: dict[str, int]
    """Kind of place -> places."""


KINDS = ("passage", "context", "within")
"""A passage begins, within a context; a context begins, within a passage; neither."""


def border_changes(track: Track, *, window: int) -> Borders:
    """Change of the code at each kind of place; places with another border inside their windows count nowhere."""
    n_tokens = len(track.passage)
    starts_passage, starts_context = _starts(track.passage), _starts(track.context)
    either = starts_passage | starts_context
    places = np.arange(window, n_tokens - window + 1)
    before = np.concatenate([[0], np.cumsum(either)])
    # Borders strictly inside (t - window, t + window), the place itself left out.
    others = before[places + window] - before[places - window + 1] - either[places]
    found = {
        "passage": starts_passage & ~starts_context,
        "context": starts_context & ~starts_passage,
        "within": ~either,
    }
    kinds = {kind: places[(others == 0) & is_one[places]] for kind, is_one in found.items()}
    change = {kind: _window_change(track.codes, held, window) for kind, held in kinds.items()}
    return Borders(change, {kind: len(held) for kind, held in kinds.items()})


def _starts(label: NDArray[np.int64]) -> NDArray[np.bool_]:
    return np.concatenate([[False], label[1:] != label[:-1]])


def _window_change(codes: Csr, places: NDArray[np.int64], window: int) -> float:
    if not len(places):
        return 0.0
    offsets = np.arange(-window, window)
    rows, columns = np.repeat(np.arange(len(places)), 2 * window), (places[:, None] + offsets).ravel()
    weights = np.tile(np.where(offsets < 0, -1.0, 1.0) / window, len(places))
    difference = sparse.csr_array((weights, (rows, columns)), shape=(len(places), codes.shape[0])) @ codes
    return float(difference.multiply(difference).sum())


class Switches(NamedTuple):
    """Sums over the borders between passages that can be followed."""

    curve: NDArray[np.float64]
    """[2R] place of the code between the old passage (below 0) and the new one (above 0), from R tokens before the border on."""
    n: int
    """Borders."""


def switches(track: Track, *, reach: int) -> Switches:
    """How far the code has gone from one passage to the next, token by token around each border.

    With m_A and m_B the mean codes of both passages over tokens further than `reach` from the border, the place of a token is
    <z - (m_A + m_B) / 2, m_B - m_A> / (|m_A|^2 + |m_B|^2). No token lies in the means that it is held against, so a code that
    does not follow passages stays at the same place throughout. Borders without `_LEAST_REFERENCE` such tokens on both sides, or
    with the border of a context in reach, are left out.
    """
    curve, n = np.zeros(2 * reach), 0
    starts = np.flatnonzero(_starts(track.passage))
    ends = [*starts[1:], len(track.passage)]
    firsts = [0, *starts[:-1]]
    for first, border, end in zip(firsts, starts, ends, strict=True):
        from_a = np.arange(first + (reach if first else 0), border - reach)
        from_b = np.arange(border + reach, end)
        if min(len(from_a), len(from_b)) < _LEAST_REFERENCE or track.context[border - reach] != track.context[border + reach - 1]:
            continue
        a, b = (np.asarray(track.codes[rows].mean(axis=0)).ravel() for rows in (from_a, from_b))
        size = a @ a + b @ b
        if size > 0:
            curve += (track.codes[border - reach : border + reach] @ (b - a) - (b @ b - a @ a) / 2) / size
            n += 1
    return Switches(curve, n)
