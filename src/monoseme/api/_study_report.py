"""`StudyReport`: what a study found: findings, metrics, tables, figures."""

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from monoseme.api._html import framed, heading, paragraph, table
from monoseme.api._metric_table import MetricTable
from monoseme.api._pictures import Picture, drawn, known
from monoseme.api._table import Table
from monoseme.reports.plain_tables import aligned_table

if TYPE_CHECKING:
    from monoseme.studies import Finding, WrittenReport


@dataclass(frozen=True)
class StudyReport:
    """The finished study in a folder. Shows its findings and figures; all of it is in `page`."""

    path: Path
    """Folder of the study."""

    @functools.cached_property
    def written(self) -> "WrittenReport":
        """The report as it was written. Raises ArtifactMissingError before it is finished."""
        from monoseme.studies import read_study

        return read_study(self.path)

    @property
    def page(self) -> Path:
        """The page to open in a browser."""
        return self.path / "report" / "index.html"

    @property
    def findings(self) -> "tuple[Finding, ...]":
        """What papers claim, and what was found here."""
        return self.written.findings

    @property
    def metrics(self) -> MetricTable:
        """What was measured on each subject."""
        return MetricTable(metrics=self.written.metrics, title=self.written.title)

    @property
    def tables(self) -> tuple[str, ...]:
        """Names of its tables."""
        return tuple(self.written.tables)

    @property
    def figures(self) -> tuple[str, ...]:
        """Names of its figures that could be drawn."""
        return tuple(figure.name for figure in self.written.figures if figure.file)

    def table(self, name: str) -> Table:
        """A table of it, whole. Raises ConfigError with what there is."""
        return Table(rows=self.written.table(known(name, self.tables, "table")).to_pylist(), title=name)

    def figure(self, name: str) -> Picture:
        """A figure. Raises ConfigError with what there is."""
        known(name, self.figures, "figure")
        found = next(figure for figure in self.written.figures if figure.name == name)
        return drawn(self.written.file(f"{found.file}.svg"), title=found.title, caption=found.caption)

    def __repr__(self) -> str:
        parts = [self.written.title, aligned_table(self._finding_rows())]
        parts += [f"tables: {', '.join(self.tables)}", f"figures: {', '.join(self.figures)}"]
        return "\n".join(filter(None, parts))

    def _repr_html_(self) -> str:
        parts = [heading("Findings"), table(self._finding_rows())] if self.findings else []
        for name in self.figures:
            figure = self.figure(name)
            parts += [figure.body(), paragraph(figure.caption)]
        return framed(self.written.title, *parts, note=f"tables: {', '.join(self.tables)}")

    def _finding_rows(self) -> list[dict[str, Any]]:
        return [
            {"claim": found.claim, "verdict": found.verdict, "numbers": "; ".join(each.numbers for each in found.comparisons)}
            for found in self.findings
        ]
