"""Strengths as people say them, and what makes numbers of them.

2max      twice the latent's largest activation
0.5norm   so much of the latent that what it writes is half as long as the activations at the site are on average
3raw      a code of 3; a factor where a method takes one
"""

import math
import re
from dataclasses import dataclass
from typing import Literal, get_args

from monoseme.core.errors import ConfigError

Unit = Literal["max", "norm", "raw"]
_WRITTEN = re.compile(r"\s*([-+]?[0-9.]+(?:[eE][-+]?[0-9]+)?)\s*([a-z]*)\s*")


@dataclass(frozen=True)
class LatentFacts:
    """What is known of a latent or direction at its site. None: not known, and not needed until a strength asks for it."""

    maximum: float | None = None
    """Its largest activation, in the unit of codes (an atlas has it)."""
    mean_norm: float | None = None
    """Mean length of the activations where the method acts."""


UNKNOWN = LatentFacts()


@dataclass(frozen=True)
class Strength:
    """How much, with its unit."""

    value: float
    unit: Unit = "max"
    """Multiples of the largest activation; a share of the activations' mean norm; or the number itself."""

    def __post_init__(self) -> None:
        """Raises ConfigError for a number that is not finite and for an unknown unit."""
        if not math.isfinite(self.value):
            raise ConfigError(f"a strength of {self.value} is no number: give one such as 2max")
        if self.unit not in get_args(Unit):
            raise ConfigError(f'no strength has the unit "{self.unit}".\n  Allowed: {", ".join(get_args(Unit))}')

    def __str__(self) -> str:
        return f"{self.value:g}{self.unit}"

    @classmethod
    def parse(cls, text: str, *, unit: Unit = "max") -> "Strength":
        """What `2max`, `-0.5norm` or `3raw` says; `unit` is that of a bare number. Raises ConfigError for anything else."""
        found = _WRITTEN.fullmatch(text)
        try:
            if found is not None:
                return cls(float(found[1]), found[2] or unit)  # pyright: ignore[reportArgumentType]  checked by the class
        except ValueError:
            pass
        raise ConfigError(f'"{text}" is no strength.\n  Write a number and a unit: 2max, 0.5norm or 3raw')

    def amount(self, facts: LatentFacts, *, written_norm: float, what: str) -> float:
        """The strength as a code; `written_norm` is the length of what a code of 1 writes, `what` whose strength it is.

        Raises ConfigError where a fact is missing that the unit needs.
        """
        if self.unit == "raw":
            return self.value
        if self.unit == "max":
            return self.value * self._needed(facts.maximum, what, "its largest activation: scan it, or give the strength as raw")
        instead = "raw" if facts.maximum is None else "max or raw"
        needed = f"the mean norm at its site: scan it, or give the strength as {instead}"
        mean_norm = self._needed(facts.mean_norm, what, needed)
        if not written_norm > 0:
            raise ConfigError(f"{what} writes nothing, so no amount of it has the length {self}")
        return self.value * mean_norm / written_norm

    def _needed(self, fact: float | None, what: str, words: str) -> float:
        if fact is None or not math.isfinite(fact):
            raise ConfigError(f"the strength {self} of {what} needs {words}")
        return fact
