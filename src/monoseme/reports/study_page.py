"""The report of a study as one HTML file that needs nothing else: what was asked and found, figures, tables, metrics.

It shares its parts with the report of a run (`_inline.py`). What would make it heavy is cut and says where the whole lies: long
tables end with a link to their CSV file, a figure of very many rows is a picture.
"""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from markupsafe import Markup

from monoseme.evaluation import Metric
from monoseme.reports._inline import chart_data, json_for_html, own, policy, template, vega_bundle
from monoseme.reports._prose import inline, prose
from monoseme.reports._summary import Row, metric_row
from monoseme.reports.figures import Figure
from monoseme.reports.plain_tables import cell_text, is_number

MOST_CHART_ROWS = 20_000
"""A figure with more rows of data is shown as a picture: its data would be megabytes, and slow in a browser."""
MOST_TABLE_ROWS = 200
"""Rows of a table on the page."""
_HALF_PIXELS = 400
"""Of a chart without its axes, up to which two fit side by side."""
_LONG_TEXT = 48
"""Characters from which a cell may wrap."""


class PageFinding(NamedTuple):
    """A claim and what was found."""

    claim: str
    verdict: str
    why_missing: str
    comparisons: tuple[tuple[bool, str], ...]
    """Whether it held, and the numbers."""


class PageFigure(NamedTuple):
    """A figure and the files beside the page."""

    figure: Figure
    files: Mapping[str, str]
    """Format -> path from the page."""
    picture: tuple[bytes, bytes] | None = None
    """PNG for light and dark pages, shown instead of the chart."""


class PageTable(NamedTuple):
    """A table and its file."""

    name: str
    rows: Sequence[Mapping[str, Any]]
    columns: Sequence[str] | None
    """Those shown; None: all; none: the table is only linked to."""
    file: str
    """Path from the page to the whole."""


@dataclass(frozen=True, kw_only=True)
class StudyPage:
    """What the page shows."""

    study: str
    title: str
    text: str
    """Markdown, as far as `_prose.py` knows it."""
    command: str
    findings: Sequence[PageFinding] = ()
    figures: Sequence[PageFigure] = ()
    not_drawn: Mapping[str, str] = field(default_factory=dict[str, str])
    """Title of a figure -> why it is missing."""
    tables: Sequence[PageTable] = ()
    metrics: Mapping[str, Sequence[Metric]] = field(default_factory=dict[str, Sequence[Metric]])
    metrics_file: str = ""
    """Path from the page to the metrics as CSV."""
    files: Sequence[str] = ()
    """Paths from the page to files for other programs."""


class _Cell(NamedTuple):
    text: str
    kind: str
    """CSS class: num, long or left."""
    value: str
    """What the column is sorted by."""


class _Table(NamedTuple):
    title: str
    columns: list[tuple[str, str]]
    """Name and CSS class."""
    rows: list[list[_Cell]]
    n_rows: int
    file: str


def render_study(page: StudyPage) -> str:
    """The whole page."""
    tables = [_table(table) for table in page.tables if table.rows]
    drawn = [shown.figure for shown in page.figures if shown.picture is None]
    scripts = [vega_bundle(), own("charts.js")] if drawn else []
    scripts += [own("tables.js")] if tables else []
    return template("study.html.j2").render(
        page=page,
        prose=prose,
        inline=inline,
        pictures={shown.figure.name: [_data_uri(png) for png in shown.picture] for shown in page.figures if shown.picture},
        wide={shown.figure.name for shown in page.figures if shown.picture or _is_wide(shown.figure)},
        tables=tables,
        subjects=list(page.metrics),
        metrics=_metric_rows(page.metrics),
        style=Markup(own("report.css") + own("study.css")),
        scripts=[Markup(script) for script in scripts],
        policy=policy(scripts),
        data=Markup(json_for_html(chart_data(drawn))),
    )


def _is_wide(figure: Figure) -> bool:
    """Whether it needs the whole width of the page: it brings its size, and that is more than half of it."""
    width = figure.spec().get("width")
    return figure.has_own_size and not (isinstance(width, int | float) and width <= _HALF_PIXELS)


def _table(table: PageTable) -> _Table:
    """The first rows, each cell as text with what to sort it by."""
    if table.columns is not None and not table.columns:
        return _Table(table.name.replace("_", " "), [], [], len(table.rows), table.file)
    names = list(table.columns or dict.fromkeys(name for row in table.rows for name in row))
    numeric = {name: is_number(table.rows, name) for name in names}
    shown = table.rows[:MOST_TABLE_ROWS]
    rows = [[_cell(row.get(name), numeric[name]) for name in names] for row in shown]
    columns = [(name.replace("_", " "), "num" if numeric[name] else "left") for name in names]
    return _Table(table.name.replace("_", " "), columns, rows, len(table.rows), table.file)


def _cell(value: Any, numeric: bool) -> _Cell:
    text = cell_text(value)
    if numeric:
        return _Cell(text, "num", "" if value is None else f"{float(value):.17g}")
    return _Cell(text, "long" if len(text) > _LONG_TEXT else "left", "")


def _metric_rows(metrics: Mapping[str, Sequence[Metric]]) -> list[Row]:
    """Each metric once, over all subjects; nothing is marked as best: findings compare with paired intervals."""
    found = {subject: {metric.name: metric for metric in held} for subject, held in metrics.items()}
    names = dict.fromkeys(name for held in found.values() for name in held)
    return [metric_row([held.get(name) for held in found.values()], marks_best=False) for name in names]


def _data_uri(png: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"
