"""What one chunk of a pass hands to the statistics: its rows (tokens) and its firings (latent, row, value).

Letters: R rows (tokens that reached the SAE), E entries (non-zero codes), W width of an example's window.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Rows(NamedTuple):
    """The rows of a chunk, each array [R]. Rows of one context are together and in order."""

    document: NDArray[np.int64]
    position: NDArray[np.int64]
    slot: NDArray[np.int64]
    """Place on a line on which neighbours in a segment differ by 1 and different segments lie further apart than a window."""
    context: NDArray[np.int64]
    """Ordinal of the context in the source: it grows along the source, and several processes count alike."""
    role: NDArray[np.int8] | None = None
    """Code of who speaks, in `monoseme.text.ROLES`; None: not known, taken for plain text."""


class Firings(NamedTuple):
    """Non-zero codes of a chunk, each array [E], sorted by (latent, row)."""

    latent: NDArray[np.int64]
    value: NDArray[np.float32]
    row: NDArray[np.int64]


def sort_firings(latent: NDArray[np.integer], value: NDArray[np.float32], row: NDArray[np.int64]) -> Firings:
    """Bring entries in the order of (latent, row)."""
    n_rows = int(row.max()) + 1 if len(row) else 1
    order = np.argsort(latent.astype(np.int64) * n_rows + row)
    return Firings(latent[order].astype(np.int64), value[order], row[order])


def join_rows(parts: Sequence[Rows], *, gap: int) -> Rows:
    """The rows of several blocks as one, their slots kept apart."""
    slots, next_slot = [], 0
    for part in parts:
        slots.append(part.slot + next_slot)
        if len(part.slot):
            next_slot = int(slots[-1][-1]) + gap
    document, position, context = (
        np.concatenate([getattr(part, name) for part in parts]) for name in ("document", "position", "context")
    )
    roles = [part.role for part in parts if part.role is not None]
    role = np.concatenate(roles) if len(roles) == len(parts) else None
    return Rows(document, position, np.concatenate(slots), context, role)


def windows(firings: Firings, rows: Rows, picked: NDArray[np.int64], *, left: int, right: int) -> NDArray[np.float16]:
    """Values of the same latent around the picked firings, as ratios to the picked value: [len(picked), W] float16.

    W = left + 1 + right; the firing itself is at index `left` and is 1. Zero is written where the latent does not fire and
    beyond the segment. A ratio in float16 keeps three digits at half the memory, and cannot overflow as raw values could.
    """
    slot = rows.slot[firings.row]
    span = int(rows.slot[-1]) + left + right + 2 if len(rows.slot) else 1
    line = firings.latent * span + slot
    first = np.searchsorted(line, line[picked] - left, side="left")
    last = np.searchsorted(line, line[picked] + right, side="right")
    lengths = last - first
    owner = np.repeat(np.arange(len(picked)), lengths)
    entry = np.arange(len(owner)) - np.repeat(np.cumsum(lengths) - lengths, lengths) + np.repeat(first, lengths)
    place = slot[entry] - slot[picked][owner] + left
    ratio = firings.value[entry].astype(np.float64) / firings.value[picked][owner]
    found = np.zeros((len(picked), left + 1 + right), dtype=np.float16)
    limit = float(np.finfo(np.float16).max)
    found[owner, place] = np.clip(ratio, -limit, limit).astype(np.float16)
    return found
