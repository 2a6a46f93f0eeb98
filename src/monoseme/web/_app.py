"""The app: the read API, the static front end, and the errors of both as JSON.

`create_app` opens nothing slow: a run's tables are read when a page first asks, its model when a prompt is first typed.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.middleware.gzip import GZipMiddleware
from starlette.responses import JSONResponse, Response

import monoseme
from monoseme.core.errors import ArtifactMissingError, MonosemeError
from monoseme.web import _api, _static
from monoseme.web._library import Library, run_ids, study_folders
from monoseme.web._security import SECURITY_HEADERS, Guard
from monoseme.web.run_files import BadRequestError, NotFoundError, Run, RunFiles, UnavailableError
from monoseme.web.studies import StudyShelf
from monoseme.web.worker import ClientNames, ModelWorker, TooBusyError

if TYPE_CHECKING:
    from monoseme.web.worker import ModelLoader


def create_app(
    runs: Sequence[Path],
    *,
    studies: Sequence[Path] = (),
    model_loader: "ModelLoader | None" = None,
    hosts: Iterable[str] | None = (),
    token: str | None = None,
    model: str | None = None,
) -> FastAPI:
    """The web app over finished runs, ready for any ASGI server.

    `studies` are folders of studies, or that hold such; those that lie in the runs or beside them are found without.
    `model_loader` gives the language model of a run when its prompt page first needs one; None is `LanguageModel.load`.
    `hosts` are host names to answer for beside the loopback ones (None: any name, which needs `token`). With `token`, each
    request has to carry it. `model` is the folder or hub id of the language model, None: the one that each run names.

    Raises ArtifactMissingError or another ArtifactError for a folder that is not a run that this version reads.
    """
    ids = run_ids(Path(run).resolve().name for run in runs)
    worker = ModelWorker(model_loader)
    served = [RunFiles(Path(run), id=id_, worker=worker, model=model) for run, id_ in zip(runs, ids, strict=True)]
    shelf = StudyShelf([*studies, *(folder for run in runs for folder in study_folders(Path(run)))])
    app = app_over(served, studies=shelf, hosts=hosts, token=token)
    app.state.worker = worker
    return app


def app_over(
    runs: Iterable[Run], *, studies: StudyShelf | None = None, hosts: Iterable[str] | None = (), token: str | None = None
) -> FastAPI:
    """The app over anything that reads like a run; `create_app` for those that are not folders."""
    if hosts is None and token is None:
        raise ValueError("an app that answers for every host needs a token")
    app = FastAPI(
        title="monoseme",
        version=monoseme.__version__,
        description=_api.__doc__ or "",
        # Both pages of documentation load scripts from a CDN; the schema itself stays at /api/openapi.json.
        docs_url=None,
        redoc_url=None,
        openapi_url="/api/openapi.json",
    )
    app.state.library = Library(runs)
    app.state.studies = studies or StudyShelf(())
    app.add_exception_handler(MonosemeError, _on_our_error)
    app.add_exception_handler(RequestValidationError, _on_bad_request)
    app.add_exception_handler(HTTPException, _on_http_error)
    app.add_exception_handler(Exception, _on_our_fault)
    app.include_router(_api.router)
    app.include_router(_static.router())
    app.add_middleware(GZipMiddleware, minimum_size=2000, compresslevel=4)
    app.add_middleware(ClientNames)
    app.add_middleware(Guard, hosts=hosts, token=token)
    return app


_MOST_SAID = 2000
"""Characters of an error, and of its hint."""
_STATUS: tuple[tuple[type[MonosemeError], int], ...] = (
    (NotFoundError, 404),
    (ArtifactMissingError, 404),
    (UnavailableError, 409),
    (BadRequestError, 422),
    (TooBusyError, 429),
)


async def _on_our_error(_request: Request, error: Exception) -> Response:
    """The first line of the message is the error, the rest the hint."""
    status = next((status for kind, status in _STATUS if isinstance(error, kind)), 500)
    line, _, rest = str(error).partition("\n")
    answer = _answer(status, line, " ".join(rest.split()))
    if isinstance(error, TooBusyError):
        answer.headers["retry-after"] = "2"
    return answer


async def _on_bad_request(_request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"][1:])
    return _answer(422, f"{where}: {first['msg']}", "The parameters and their bounds are in /api/openapi.json.")


async def _on_http_error(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    answer = _answer(error.status_code, str(error.detail), "")
    answer.headers.update(error.headers or {})
    return answer


async def _on_our_fault(_request: Request, _error: Exception) -> Response:
    """Of an error that nobody foresaw, which is logged and not shown. This answer alone does not pass through the guard."""
    answer = _answer(500, "the server failed", "Its log says why.")
    answer.headers.update(SECURITY_HEADERS)
    return answer


def _answer(status: int, error: str, hint: str) -> JSONResponse:
    """Both may repeat what was asked, whatever that was."""
    return JSONResponse({"error": _shown(error), "hint": _shown(hint)}, status_code=status)


def _shown(text: str) -> str:
    """Of a bounded length, without halves of characters, which no answer can be written in."""
    cut = text if len(text) <= _MOST_SAID else f"{text[:_MOST_SAID]}…"
    return cut.encode("utf-8", "backslashreplace").decode()
