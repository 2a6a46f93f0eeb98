"""What screening costs: rows looked at, rows whose certificate failed, candidates that were scored again in float32.

A screen is a fast product in low precision that proposes candidates; see `monoseme.kernels.cpu`. Whoever wants to know how well
it does opens a collector around the encodes of interest:

    with counted() as screened:
        sae(x)
    screened.uncertified_fraction, screened.candidates_per_row

Collectors may be nested; each sees all that happens inside it, on its own thread or task. The kernels call `count`.
"""

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import dataclass


@dataclass
class Screened:
    """Counts that grow while their collector is open."""

    n_rows: int = 0
    """Rows that went through a screen."""
    n_uncertified: int = 0
    """Rows among them whose candidates were too many, recomputed plainly in float32."""
    n_candidates: int = 0
    """Entries scored again in float32, over the certified rows."""

    @property
    def uncertified_fraction(self) -> float | None:
        """Share of the rows that had to be recomputed, in [0, 1]; None if no row was screened."""
        return self.n_uncertified / self.n_rows if self.n_rows else None

    @property
    def candidates_per_row(self) -> float | None:
        """Entries scored again per certified row; None if there was none."""
        certified = self.n_rows - self.n_uncertified
        return self.n_candidates / certified if certified else None


_OPEN: ContextVar[tuple[Screened, ...]] = ContextVar("monoseme_screened", default=())


@contextlib.contextmanager
def counted() -> Iterator[Screened]:
    """Counts the screens of the encodes that run in the block."""
    counts = Screened()
    token = _OPEN.set((*_OPEN.get(), counts))
    try:
        yield counts
    finally:
        _OPEN.reset(token)


def count(*, rows: int, uncertified: int, candidates: int) -> None:
    """Adds one screen to every open collector."""
    for counts in _OPEN.get():
        counts.n_rows += rows
        counts.n_uncertified += uncertified
        counts.n_candidates += candidates
