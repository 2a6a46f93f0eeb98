"""The studies that `monoseme study` wrote.

GET /api/studies                              those being served
GET /api/studies/{study}                      one: text, findings, metrics, names of figures and tables
GET /api/studies/{study}/figures/{figure}     a Vega-Lite specification
GET /api/studies/{study}/tables/{table}       rows, sorted; `columns=all` with those that the study does not show
GET /api/studies/{study}/files/{number}       a file of the report, to be saved
"""

import mimetypes
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Request
from starlette.responses import FileResponse

from monoseme.core.config import suggest
from monoseme.web.run_files import NotFoundError
from monoseme.web.studies import _report, _tables
from monoseme.web.studies._shelf import StudyShelf
from monoseme.web.studies.answers import StudyDetail, StudySummary, StudyTable

router = APIRouter(prefix="/studies")


def _shelf(request: Request) -> StudyShelf:
    return request.app.state.studies


ServedStudies = Annotated[StudyShelf, Depends(_shelf)]
StudyName = Annotated[str, Path(max_length=200, description="id of a study")]
Name = Annotated[str, Path(max_length=200)]


@router.get("")
def studies(shelf: ServedStudies) -> list[StudySummary]:
    """All studies; one that is not finished or damaged says so."""
    return shelf.summaries()


@router.get("/{study}")
def study(shelf: ServedStudies, study: StudyName) -> StudyDetail:
    """A study's report."""
    return shelf.detail(study)


@router.get("/{study}/figures/{figure}")
def figure(shelf: ServedStudies, study: StudyName, figure: Name) -> dict[str, Any]:
    """A figure as a Vega-Lite specification, with its data inside."""
    report = shelf.report(study)
    known = {found.name: found for found in report.figures if found.file}
    if figure not in known:
        raise NotFoundError(f"this study has no figure {figure!r}.{suggest(figure, list(known))}")
    return _report.specification(known[figure], report)


@router.get("/{study}/tables/{table}")
def table(shelf: ServedStudies, study: StudyName, table: Name, query: Annotated[_tables.TableQuery, Query()]) -> StudyTable:
    """Some rows of a table."""
    return _tables.page(shelf.report(study), table, query)


@router.get("/{study}/files/{number}", response_class=FileResponse)
def file(shelf: ServedStudies, study: StudyName, number: Annotated[int, Path(ge=0, lt=2**31)]) -> FileResponse:
    """A file of the report. It is saved, never shown: a page of someone's folder must not run as one of this server's."""
    report = shelf.report(study)
    names = report.file_names()
    if number >= len(names):
        raise NotFoundError(f"this study has no file {number}\n  Its files are numbered 0 to {len(names) - 1}.")
    path = report.file(names[number])
    kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    return FileResponse(path, media_type=kind, filename=path.name, content_disposition_type="attachment")
