"""The contract of scorers.

A plug-in is a file in this package with one subclass of `Scorer` and its nested `Config`.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from monoseme.atlas.evidence import Evidence
from monoseme.atlas.said import Explanation, Score


class Scorer(ABC):
    """Measures explanations on documents that made none of them."""

    plugin_name: ClassVar[str]
    definitions: ClassVar[Mapping[str, str]]
    """Name of each number -> what it is, with its unit and direction. The first is the one that tables show."""

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """No options."""

    def __init__(self, config: Config | None = None) -> None:
        """None takes the defaults."""
        self.config = config or self.Config()

    @abstractmethod
    def score(self, evidence: Evidence, explanations: Sequence[Explanation]) -> Iterator[Score]:
        """Every number of `definitions` for every explanation, in order; a number that cannot be known says why."""
