"""What the routes of every page share: which run is asked about, the names in a path, and code that takes long to import."""

from importlib import import_module
from typing import Annotated, Any

from fastapi import Depends, Path, Request

from monoseme.web._library import Library
from monoseme.web.run_files import Run

RunName = Annotated[str, Path(max_length=200, description="id of a run")]
SaeName = Annotated[str, Path(max_length=200, description="name of an SAE of the run")]
LatentIndex = Annotated[int, Path(ge=0, lt=2**31, description="index of a latent")]


def _library(request: Request) -> Library:
    return request.app.state.library


ServedRuns = Annotated[Library, Depends(_library)]


def _run(run: RunName, library: ServedRuns) -> Run:
    return library.get(run)


ServedRun = Annotated[Run, Depends(_run)]


def imported_first(*modules: str) -> Any:
    """A dependency of routes that await: it imports `modules` in a thread.

    Torch and transformers take seconds. Imported by the first such route itself, they would stop every page for as long, since
    it runs on the event loop.
    """

    def load() -> None:  # what is no coroutine, FastAPI runs in its thread pool
        for module in modules:
            import_module(module)

    return Depends(load)
