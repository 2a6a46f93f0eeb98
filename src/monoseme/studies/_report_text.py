"""The report of a study in Markdown: what GitHub and a site show, with links only to the files beside it."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from monoseme.core.intervals import Z_95
from monoseme.evaluation import Metric
from monoseme.reports.plain_tables import markdown_table, markdown_text
from monoseme.studies._base import Finding, StudyResult

MOST_ROWS = 60
"""Rows of a table on the page; the CSV file beside it has all."""
_MOST_SUBJECTS = 8
"""Columns up to which metrics are laid out by subject."""


def page(result: StudyResult, *, command: str, files: Mapping[str, str], not_drawn: Mapping[str, str]) -> str:
    """The report; `files` maps tables and figures to the names of their files, `not_drawn` figures' names to the reason."""
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", command)), default=0))
    parts = [f"# {markdown_text(result.title)}", result.text.strip(), f"Made by:\n\n{fence}sh\n{command}\n{fence}"]
    if result.findings:
        parts += ["## Findings", "\n".join(_finding(finding) for finding in result.findings)]
    for figure in result.figures:
        title = markdown_text(figure.title)
        shown = f"![{title}](figures/{files[figure.name]}.png)"
        if figure.name in not_drawn:
            shown = f"Not drawn: {markdown_text(not_drawn[figure.name])}."
        parts.append(f"## {title}\n\n{shown}\n\n{_prose(figure.caption)}")
    parts += [_table(name, rows, result.shown.get(name), files[name]) for name, rows in result.tables.items() if rows]
    if result.metrics:
        parts.append(_metrics(result.metrics))
    if result.files:
        parts.append("## Files for other programs\n\n" + "\n".join(f"- [{name}](files/{name})" for name in result.files))
    return "\n\n".join(parts) + "\n"


def _prose(text: str) -> str:
    """A sentence of a study on one line: its own emphasis and code stay; elements and links that data could bring do not."""
    return " ".join(text.splitlines()).replace("<", "&lt;").replace("](", "]\\(")


def _finding(finding: Finding) -> str:
    head = f"- {_prose(finding.claim)}\n  **{finding.verdict.capitalize()}.** {_prose(finding.why_missing)}".rstrip()
    return "\n".join([head, *(f"    - {_prose(c.numbers)}{'' if c.held else ' (does not hold)'}" for c in finding.comparisons)])


def _table(name: str, rows: Sequence[Mapping[str, Any]], columns: Sequence[str] | None, file: str) -> str:
    if columns is not None and not columns:
        return f"## Table: {markdown_text(name.replace('_', ' '))}\n\n{len(rows):,} rows: [CSV](tables/{file}.csv)."
    shown = markdown_table(rows[:MOST_ROWS], columns)
    cut = f"The first {MOST_ROWS} of {len(rows):,} rows. " if len(rows) > MOST_ROWS else ""
    return f"## Table: {markdown_text(name.replace('_', ' '))}\n\n{shown}\n{cut}All columns: [CSV](tables/{file}.csv)."


def _metrics(metrics: Mapping[str, Sequence[Metric]]) -> str:
    """A row for each metric and a column for each subject, or with many subjects the other way round."""
    names = list(dict.fromkeys(metric.name for held in metrics.values() for metric in held))
    cells = {(subject, metric.name): _cell(metric) for subject, held in metrics.items() for metric in held}
    if len(metrics) <= _MOST_SUBJECTS:
        rows = [{"metric": name} | {subject: cells.get((subject, name)) for subject in metrics} for name in names]
    else:
        rows = [{"subject": subject} | {name: cells.get((subject, name)) for name in names} for subject in metrics]
    defined = {metric.name: metric for held in metrics.values() for metric in held}
    told = "\n".join(f"- `{name}` ({metric.unit}): {_prose(metric.definition)}" for name, metric in defined.items())
    return (
        f"## Metrics\n\n± is a 95 % interval (1.96 standard errors).\n\n{markdown_table(rows[:MOST_ROWS])}\n"
        f"All: [CSV](tables/metrics.csv).\n\n{told}"
    )


def _cell(metric: Metric) -> str | None:
    if metric.value is None:
        return None
    return f"{metric.value:.4g}" + (f" ± {Z_95 * metric.standard_error:.2g}" if metric.standard_error else "")
