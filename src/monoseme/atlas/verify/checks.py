"""What was verified, and what was wrong with it."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

_MOST_SHOWN = 5
"""Problems of a check told one by one (count)."""


@dataclass(frozen=True, kw_only=True)
class Check:
    """One thing that was compared."""

    what: str
    n: int
    """Things compared (count); 0: the sample held none."""
    n_bad: int
    """Those that do not agree (count)."""
    n_allowed: int
    """Most of these that are taken for rounding (count)."""
    worst: float | None
    """Largest relative difference of two numbers that was seen; None where no numbers were compared."""
    problems: tuple[str, ...]
    """The first of them in words."""

    @property
    def is_sound(self) -> bool:
        """Whether no more differ than rounding explains."""
        return self.n_bad <= self.n_allowed


@dataclass(frozen=True, kw_only=True)
class Verification:
    """Everything that was verified of an atlas."""

    checks: tuple[Check, ...]
    n_contexts: int
    """Contexts that were computed again (count)."""
    n_contexts_in_all: int
    """Contexts of the scan, as far as blocks are full (count)."""
    tolerance: float
    """Largest relative difference between a stored activation and the same computed again that was let pass."""

    @property
    def is_sound(self) -> bool:
        """Whether nothing was wrong."""
        return all(check.is_sound for check in self.checks)


@dataclass
class Tally:
    """A check while it is made."""

    what: str
    rounding_share: float = 0.0
    n: int = 0
    n_bad: int = 0
    worst: float | None = None
    problems: list[str] = field(default_factory=list)

    def fail(self, problem: str) -> None:
        """One thing that was wrong, in words."""
        self.n_bad += 1
        if len(self.problems) < _MOST_SHOWN:
            self.problems.append(problem)

    def compare(self, stored: NDArray[Any], again: NDArray[Any], *, tolerance: float, told: Any) -> None:
        """Compare numbers one by one, relative to the larger of the two; `told(i)` says which the i-th is."""
        stored, again = np.asarray(stored, np.float64), np.asarray(again, np.float64)
        size = np.maximum(np.abs(stored), np.abs(again))
        apart = np.divide(np.abs(stored - again), size, out=np.zeros_like(size), where=size > 0)
        self.n += len(apart)
        if len(apart):
            self.worst = max(self.worst or 0.0, float(apart.max()))
        for i in np.nonzero(~(apart <= tolerance))[0].tolist():
            self.fail(f"{told(i)}: {stored[i]:.6g} is stored, {again[i]:.6g} is computed")

    def done(self) -> Check:
        """The finished check."""
        n_allowed, problems = int(self.rounding_share * self.n), tuple(self.problems)
        return Check(what=self.what, n=self.n, n_bad=self.n_bad, n_allowed=n_allowed, worst=self.worst, problems=problems)
