"""What a study's report answers: its summary, its page, and its figures as specifications that a page can draw."""

from typing import TYPE_CHECKING, Any

from monoseme.core.errors import ArtifactDamagedError
from monoseme.core.files import read_json
from monoseme.web.measured import metric
from monoseme.web.studies.answers import (
    StudyComparison,
    StudyDetail,
    StudyFigure,
    StudyFile,
    StudyFinding,
    StudyPicture,
    StudySubject,
    StudySummary,
    StudyTableInfo,
)

if TYPE_CHECKING:
    from monoseme.studies import StudyRecord, WrittenFigure, WrittenReport

_MOST_SPEC_BYTES = 4_000_000
"""Of a specification that a page draws; a larger one is shown as its picture."""
_METRICS = "metrics"
"""The table that repeats the typed metrics."""


def summary(id: str, study: str, report: "WrittenReport") -> StudySummary:
    """One line about a finished study."""
    return StudySummary(
        id=id,
        study=study,
        title=report.title,
        path=str(report.artifact.path.parent),
        state="finished",
        n_findings=len(report.findings),
        n_reproduced=sum(finding.verdict == "reproduced" for finding in report.findings),
        n_tables=len(report.tables),
        n_figures=len(report.figures),
    )


def detail(id: str, record: "StudyRecord", report: "WrittenReport") -> StudyDetail:
    """The page of a study."""
    names = report.file_names()
    numbers = {name: number for number, name in enumerate(names)}
    sizes = report.artifact.manifest["files"]
    return StudyDetail(
        id=id,
        study=record.study,
        title=report.title,
        text=report.text,
        command=record.command,
        path=str(report.artifact.path.parent),
        findings=[
            StudyFinding(
                claim=found.claim,
                verdict=found.verdict,
                why_missing=found.why_missing,
                comparisons=[StudyComparison(held=each.held, numbers=each.numbers) for each in found.comparisons],
            )
            for found in report.findings
        ],
        figures=[_figure(figure, report, numbers) for figure in report.figures],
        tables=[_table(name, report, numbers) for name in report.tables if name != _METRICS or not report.metrics],
        metrics=[StudySubject(name=name, metrics=[metric(m) for m in held]) for name, held in report.metrics.items()],
        files=[StudyFile(number=number, name=name, n_bytes=sizes[name]["bytes"]) for number, name in enumerate(names)],
    )


def _figure(figure: "WrittenFigure", report: "WrittenReport", numbers: dict[str, int]) -> StudyFigure:
    files = [number for name, number in numbers.items() if figure.file and name.startswith(f"{figure.file}.")]
    return StudyFigure(
        name=figure.name,
        title=figure.title,
        caption=figure.caption,
        why_missing=figure.why_missing,
        picture=_picture(figure.file, report, numbers),
        files=files,
    )


def _picture(file: str, report: "WrittenReport", numbers: dict[str, int]) -> StudyPicture | None:
    """Of a figure with too much data; None where the specification is to be drawn."""
    if not file or report.artifact.manifest["files"][f"{file}.json"]["bytes"] <= _MOST_SPEC_BYTES:
        return None
    light, dark = numbers.get(f"{file}.png"), numbers.get(f"{file}.dark.png")
    return None if light is None or dark is None else StudyPicture(light=light, dark=dark)


def _table(name: str, report: "WrittenReport", numbers: dict[str, int]) -> StudyTableInfo:
    import pyarrow.parquet as pq

    file = report.tables[name]
    about = pq.read_metadata(report.file(file))
    stem = file.removesuffix("parquet")
    return StudyTableInfo(
        name=name,
        n_rows=about.num_rows,
        n_columns=about.num_columns,
        is_shown=report.shown.get(name) != (),
        files=[number for known, number in numbers.items() if known.startswith(stem)],
    )


def specification(figure: "WrittenFigure", report: "WrittenReport") -> dict[str, Any]:
    """A Vega-Lite specification without what the page has of its own: title, colours, and options of the drawing library.

    One that was made for a width of the page's choice is given that of its box. Raises ArtifactDamagedError.
    """
    spec = read_json(report.file(f"{figure.file}.json"))
    if not isinstance(spec, dict):
        raise ArtifactDamagedError(f"{figure.file}.json is not a specification of a figure")
    kept: dict[str, Any] = {key: value for key, value in spec.items() if key not in ("title", "config", "padding", "usermeta")}
    return kept | {"width": "container"} if "autosize" in kept else kept
