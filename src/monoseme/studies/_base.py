"""The contract of studies: a question, asked by composing the other packages, answered by one `report` artifact.

A study is one public file of this package with one concrete subclass of `Study` and a nested frozen `Config`, from which its
flags and help follow. It implements `investigate`; `run_study` (`_run.py`) does the rest: the folder, the resume, the report.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

if TYPE_CHECKING:
    from monoseme.evaluation import Metric
    from monoseme.reports.figures import Figure

Row = dict[str, Any]
"""One row of a table: column -> value; None where there is none."""


class Comparison(NamedTuple):
    """One comparison that bears on a claim."""

    held: bool
    """Whether the claim held in it."""
    numbers: str
    """The numbers that decide it, in words."""


class Finding(NamedTuple):
    """What a paper claims, and what was found here."""

    claim: str
    """In one sentence, with its source."""
    comparisons: tuple[Comparison, ...]
    """Each that could be made; none: not measured."""
    why_missing: str = ""
    """Why there is no comparison."""

    @property
    def verdict(self) -> str:
        """In words: whether it held in all comparisons, in some, in none, or was not measured."""
        n_held = sum(comparison.held for comparison in self.comparisons)
        if not self.comparisons:
            return "not measured"
        if n_held == len(self.comparisons):
            return "reproduced"
        return f"reproduced in {n_held} of {len(self.comparisons)} comparisons" if n_held else "not reproduced"


@dataclass(frozen=True, kw_only=True)
class StudyResult:
    """What a study found."""

    title: str
    text: str
    """Markdown under the title: what was asked and how, in a few sentences."""
    tables: Mapping[str, Sequence[Row]]
    """Name -> rows; each becomes a Parquet and a CSV file."""
    shown: Mapping[str, Sequence[str]] = field(default_factory=dict[str, Sequence[str]])
    """Table -> columns that the text shows of it, none: only a link to its file; a table not named here is shown whole."""
    metrics: "Mapping[str, Sequence[Metric]]" = field(default_factory=dict)
    """Subject -> its typed metrics; written to report.json, and as the table `metrics`."""
    figures: "Sequence[Figure]" = ()
    findings: Sequence[Finding] = ()
    files: Mapping[str, bytes] = field(default_factory=dict[str, bytes])
    """Name -> content of files for other programs, such as SAEBench's JSON or a probe; they lie under `files` in the report."""
    inputs: Mapping[str, str] = field(default_factory=dict[str, str])
    """Name -> content hash of what it was made from."""
    seeds: Mapping[str, int] = field(default_factory=dict[str, int])


class Study(ABC):
    """A question about SAEs. Subclasses nest their own `Config`."""

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Settings of a study."""

        plugin_name: ClassVar[str]

    plugin_name: ClassVar[str]
    short_flags: ClassVar[Mapping[str, str]] = {}
    """Short flag -> the flag of the setting it stands for: `{"--model": "--model.model"}`."""

    config: Any  # a subclass narrows it to its own Config

    def __init__(self, config: "Study.Config | None" = None) -> None:
        self.config = config if config is not None else type(self).Config()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.config!r})"

    @abstractmethod
    def investigate(self, work: Path) -> StudyResult:
        """Answers the question. What takes long is kept under `work`, so that a second call with the same folder goes on.

        Raises MonosemeError where nothing at all can be said; what fails for one SAE only becomes part of the result.
        """
