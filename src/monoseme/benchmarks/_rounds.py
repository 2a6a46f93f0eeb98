"""Interleaved rounds: every contestant takes a few steps, round after round, in turn; the order is reversed each round.

On a shared machine a second of a day differs from another by half, so that times of different runs say little; a ratio within
such a run is good to about a seventh, and to a few hundredths on a quiet machine. The best time is the closest to a quiet one.
"""

import statistics
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from monoseme.core.display import get_display

Contestant = Callable[[], float]
"""Takes one step and says how many seconds it took."""


class Timing(NamedTuple):
    """The steps of one contestant, in the order in which they were taken."""

    seconds: tuple[float, ...]

    @property
    def best(self) -> float:
        """Seconds of the fastest step."""
        return min(self.seconds)

    @property
    def median(self) -> float:
        """Seconds of the median step."""
        return statistics.median(self.seconds)

    def facts(self) -> dict[str, Any]:
        """For JSON: milliseconds; the spread is that of the middle half of the steps, over the median."""
        ordered = sorted(self.seconds)
        spread = (ordered[3 * len(ordered) // 4] - ordered[len(ordered) // 4]) / self.median
        return {
            "best_ms": round(1e3 * self.best, 3),
            "median_ms": round(1e3 * self.median, 3),
            "spread": round(spread, 3),
            "n_steps": len(self.seconds),
        }


def interleave(
    contestants: Mapping[str, Contestant], *, rounds: int, steps: int, warm_up: int = 2, description: str = "bench"
) -> dict[str, Timing]:
    """Seconds of `rounds * steps` steps of each contestant, after `warm_up` steps that do not count."""
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    names = list(contestants)
    with get_display().progress(description, total=(rounds + 1) * len(names), unit="visits") as bar:
        for name in names:
            for _ in range(warm_up):
                contestants[name]()
            bar.advance(1)
        for _ in range(rounds):
            for name in names:
                seconds[name] += [contestants[name]() for _ in range(steps)]
                bar.advance(1, **{name.replace(" ", "_"): 1e3 * min(seconds[name])})
            names.reverse()
    return {name: Timing(tuple(taken)) for name, taken in seconds.items()}
