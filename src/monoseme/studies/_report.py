"""The report of a study: numbers for programs, pages for people, figures as specifications and pictures.

Numbers are written first. A figure that cannot be drawn costs no number: the report says why it is missing, and a resume of the
study draws it again.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from monoseme.core.artifact import new_artifact
from monoseme.core.display import get_display
from monoseme.core.errors import ConfigError
from monoseme.core.files import guard_disk, write_atomic, write_json
from monoseme.core.schema import SCHEMAS
from monoseme.evaluation import Metric, metrics_to_json
from monoseme.reports.figures import Figure
from monoseme.reports.study_page import MOST_CHART_ROWS, PageFigure, PageFinding, PageTable, StudyPage, render_study
from monoseme.studies._base import Finding, Row, StudyResult
from monoseme.studies._report_text import page
from monoseme.studies._survivors import error_line

METRICS_TABLE = "metrics"
_KINDS = {"png": "PNG", "dark.png": "PNG, dark", "svg": "SVG", "dark.svg": "SVG, dark", "pdf": "PDF", "json": "JSON"}
"""Ending of a figure's file -> what the page calls it."""


def write_study_report(result: StudyResult, path: Path, *, study: str, config: Mapping[str, Any], command: str) -> None:
    """Writes the artifact at `path`, in place of an earlier one. Raises ConfigError for two tables of one name, DiskFullError."""
    plain = {"study": study, **config}
    tables = _tables(result)
    _require_plain_names(result.files)
    files = file_names([*tables, *(figure.name for figure in result.figures)])
    with new_artifact(path, kind="report", config=plain, inputs=result.inputs, seeds=result.seeds, overwrite=True) as draft:
        for name, rows in tables.items():
            _write_table(draft.folder / "tables" / files[name], rows)
        for name, data in result.files.items():
            write_atomic(draft.folder / "files" / name, data)
        shown, not_drawn = _draw_all(result.figures, draft.folder, files)
        content = {
            "schema": SCHEMAS["report"],
            "study": study,
            "title": result.title,
            "text": result.text,
            "command": command,
            "findings": [_plain(finding) for finding in result.findings],
            "metrics": {subject: metrics_to_json(tuple(held)) for subject, held in result.metrics.items()},
            "tables": {name: f"tables/{files[name]}.parquet" for name in tables},
            "table_names": list(tables),
            "shown": {name: list(columns) for name, columns in result.shown.items()},
            "files": [f"files/{name}" for name in result.files],
            "figures": [figure.name for figure in result.figures],
            "figure_files": [
                {"name": figure.name, "title": figure.title, "caption": figure.caption, "file": f"figures/{files[figure.name]}"}
                for figure in result.figures
            ],
            "figures_not_drawn": not_drawn,
        }
        write_json(draft.folder / "report.json", content)
        write_atomic(draft.folder / "index.md", page(result, command=command, files=files, not_drawn=not_drawn))
        html = _html(result, shown, files, study=study, command=command, not_drawn=not_drawn)
        write_atomic(draft.folder / "index.html", html)


def file_names(names: Iterable[str]) -> dict[str, str]:
    """Name -> file name without an ending: what data put into a name leads to no other folder."""
    made: dict[str, str] = {}
    for name in dict.fromkeys(names):  # a table and a figure of one name lie in folders of their own
        plain = re.sub(r"[^A-Za-z0-9_-]+", "_", name).strip("_") or "unnamed"
        taken = set(made.values())
        made[name] = next(each for i in range(1, len(taken) + 3) if (each := plain if i == 1 else f"{plain}_{i}") not in taken)
    return made


def _require_plain_names(names: Iterable[str]) -> None:
    """Raises ConfigError for a name that could lead elsewhere."""
    for name in names:
        if re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", name) is None:
            raise ConfigError(f'a study cannot keep a file called "{name}".\n  Allowed: letters, digits, "_", "-" and "."')


def _tables(result: StudyResult) -> dict[str, Sequence[Row]]:
    """The study's own, and that of its metrics."""
    if not result.metrics:
        return dict(result.tables)
    if METRICS_TABLE in result.tables:
        raise ConfigError(f'the study has a table "{METRICS_TABLE}" and typed metrics, which make one too.\n  Rename its own.')
    rows = [_metric_row(subject, metric) for subject, held in result.metrics.items() for metric in held]
    return {**result.tables, METRICS_TABLE: rows}


def _metric_row(subject: str, metric: Metric) -> Row:
    return {
        "subject": subject,
        "metric": metric.name,
        "value": metric.value,
        "why_missing": metric.why_missing,
        "standard_error": metric.standard_error,
        "unit": metric.unit,
        "better": metric.better,
        "n": metric.n,
        "n_documents": metric.n_documents,
    }


def _draw_all(figures: Sequence[Figure], folder: Path, files: Mapping[str, str]) -> tuple[list[PageFigure], dict[str, str]]:
    """Writes each figure in all formats; returns those that could be drawn, and the others' names with the reason."""
    shown: list[PageFigure] = []
    not_drawn: dict[str, str] = {}
    for figure in figures:
        try:
            shown.append(_draw(figure, folder, f"figures/{files[figure.name]}"))
        except Exception as error:  # noqa: BLE001 - a renderer may fail in any way; what was measured must not be lost
            not_drawn[figure.name] = error_line(error)
            get_display().warn(f'the figure "{figure.name}" could not be drawn: {not_drawn[figure.name]}')
    return shown, not_drawn


def _draw(figure: Figure, folder: Path, stem: str) -> PageFigure:
    """PNG and SVG for light and dark pages, PDF, and the specification."""
    light, dark = figure.pictures(("png", "svg", "pdf")), figure.pictures(("png", "svg"), dark=True)
    contents = {ending: light[ending] for ending in light} | {f"dark.{ending}": dark[ending] for ending in dark}
    contents["json"] = str(figure.render("json")).encode()
    for ending, content in contents.items():
        write_atomic(folder / f"{stem}.{ending}", content)
    files = {_KINDS[ending]: f"{stem}.{ending}" for ending in contents}
    if figure.n_rows() <= MOST_CHART_ROWS:
        return PageFigure(figure, files)
    get_display().warn(f'the figure "{figure.name}" carries {figure.n_rows():,} rows: the page shows it as a picture')
    return PageFigure(figure, files, (light["png"], dark["png"]))


def _html(
    result: StudyResult,
    shown: Sequence[PageFigure],
    files: Mapping[str, str],
    *,
    study: str,
    command: str,
    not_drawn: Mapping[str, str],
) -> str:
    titles = {figure.name: figure.title for figure in result.figures}
    return render_study(
        StudyPage(
            study=study,
            title=result.title,
            text=result.text,
            command=command,
            findings=[
                PageFinding(f.claim, f.verdict, f.why_missing, tuple((c.held, c.numbers) for c in f.comparisons))
                for f in result.findings
            ],
            figures=shown,
            not_drawn={titles[name]: why for name, why in not_drawn.items()},
            tables=[
                PageTable(name, rows, result.shown.get(name), f"tables/{files[name]}.csv") for name, rows in result.tables.items()
            ],
            metrics=result.metrics,
            metrics_file=f"tables/{METRICS_TABLE}.csv",
            files=[f"files/{name}" for name in result.files],
        )
    )


def _plain(finding: Finding) -> dict[str, Any]:
    comparisons = [comparison._asdict() for comparison in finding.comparisons]
    return finding._asdict() | {"verdict": finding.verdict, "comparisons": comparisons}


def _write_table(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    path.parent.mkdir(exist_ok=True)
    columns = list(dict.fromkeys(name for row in rows for name in row))  # pyarrow would take those of the first row only
    table = pa.Table.from_pylist([{name: row.get(name) for name in columns} for row in rows])
    with guard_disk(path):
        pyarrow.parquet.write_table(table, path.with_suffix(".parquet"))
        pyarrow.csv.write_csv(table, path.with_suffix(".csv"))
