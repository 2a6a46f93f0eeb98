"""The contract of scorers.

A plug-in is a file in this package with one subclass of `Scorer` and its nested `Config`.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from monoseme.atlas.coder import Coder
from monoseme.atlas.evidence import Evidence
from monoseme.atlas.judgements import Judgement
from monoseme.atlas.said import Explanation, Score
from monoseme.core.errors import ConfigError
from monoseme.judges import Answer, Desk, Question


class Scorer(ABC):
    """Measures explanations on documents that made none of them."""

    plugin_name: ClassVar[str]
    asks_judge: ClassVar[bool] = False
    """Whether it asks a language model: it is then given a desk."""
    needs_coder: ClassVar[bool] = False
    """Whether it runs the SAE on new text: `coder` must then be set before `score`."""
    definitions: ClassVar[Mapping[str, str]]
    """Name of each number -> what it is, with its unit and direction. The first is the one that tables show."""

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """No options."""

    def __init__(self, config: Config | None = None, *, desk: Desk | None = None) -> None:
        """None takes the defaults. Raises ConfigError where a judge is asked and there is no desk."""
        if self.asks_judge and desk is None:
            raise ConfigError(f"{self.plugin_name} asks a language model.\n  Name one with --judge; see:  monoseme ls judges")
        self.config = config or self.Config()
        self.desk = desk
        self.judgements: list[Judgement] = []
        """What `score` was told so far of every single excerpt; kept beside the scores."""
        self.coder: Coder | None = None
        """Runs the SAE on new text; whoever calls `score` gives one where `needs_coder`."""

    def questions(self, evidence: Evidence, explanations: Sequence[Explanation]) -> Iterator[Question]:
        """What `score` puts to the judge, so that its cost can be told before; nothing where no judge is asked."""
        del evidence, explanations
        return iter(())

    def answers(self, questions: Iterable[Question]) -> Iterator[Answer]:
        """What the judge answers, in order. Raises what `Desk.answers` raises, ConfigError for a scorer without a desk."""
        if self.desk is None:
            raise ConfigError(f"{self.plugin_name} has no judge to ask.\n  Name one with --judge; see:  monoseme ls judges")
        return self.desk.answers(questions)

    @abstractmethod
    def score(self, evidence: Evidence, explanations: Sequence[Explanation]) -> Iterator[Score]:
        """Every number of `definitions` for every explanation, in order; a number that cannot be known says why."""
