"""What the routes of every page share: which run is asked about, and the names in a path."""

from typing import Annotated

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
