"""The read API: what the pages show, as JSON under `/api`.

    GET /api/runs                                        the runs being served
    GET /api/chart-themes                                Vega-Lite configs that go under every chart
    GET /api/runs/{run}                                  overview: model, corpus, SAEs, metrics
    GET /api/runs/{run}/charts/{chart}                   a Vega-Lite specification
    GET /api/runs/{run}/saes/{sae}/latents               table: ?sort=&order=&q=&state=&offset=&limit=
    GET /api/runs/{run}/saes/{sae}/latents/{index}       one latent
    GET /api/runs/{run}/saes/{sae}/latents/{index}/card  the small card
    GET /api/runs/{run}/saes/{sae}/latents/{index}/chart its histogram, a Vega-Lite specification
    GET /api/runs/{run}/saes/{sae}/random                the index of some latent that fires
    GET /api/runs/{run}/saes/{sae}/prompt?text=          the latents on each token of a text

Errors are `{"error", "hint"}`. Nothing here writes.
"""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Request

from monoseme.core.errors import MonosemeError
from monoseme.web import _schema as schema
from monoseme.web._data import LatentQuery, RunReader
from monoseme.web._library import Library

MAX_PROMPT_CHARS = 8000
"""Longest prompt accepted; a longer URL does not pass every browser and server."""

RunName = Annotated[str, Path(max_length=200, description="id of a run")]
SaeName = Annotated[str, Path(max_length=200, description="name of an SAE of the run")]
LatentIndex = Annotated[int, Path(ge=0, lt=2**31, description="index of a latent")]


def _library(request: Request) -> Library:
    return request.app.state.library


def _reader(run: RunName, library: Annotated[Library, Depends(_library)]) -> RunReader:
    return library.get(run)


Reader = Annotated[RunReader, Depends(_reader)]

router = APIRouter(
    prefix="/api",
    responses={status: {"model": schema.ApiError} for status in (400, 404, 409, 422, 500)},
)


@router.get("/runs")
def runs(library: Annotated[Library, Depends(_library)]) -> list[schema.RunSummary]:
    """The runs being served; one that is damaged says so, and hides none of the others."""
    return [_summary(reader) for reader in library]


def _summary(reader: RunReader) -> schema.RunSummary:
    try:
        return reader.summary()
    except MonosemeError as error:
        return schema.RunSummary(id=reader.id, name=reader.id, path="", model="", site="", saes=[], problem=str(error))


@router.get("/chart-themes")
def chart_themes() -> schema.ChartThemes:
    """The configs under which charts are drawn, light and dark."""
    from monoseme.web import _charts  # Altair takes a second to import: not before a chart is wanted

    return _charts.themes()


@router.get("/runs/{run}")
def overview(reader: Reader) -> schema.RunOverview:
    """Model, corpus, SAEs and their metrics."""
    return reader.overview()


@router.get("/runs/{run}/charts/{chart}")
def chart(reader: Reader, chart: Annotated[str, Path(max_length=100)]) -> dict[str, Any]:
    """One of the charts that the overview names, as a Vega-Lite specification."""
    return reader.chart(chart)


@router.get("/runs/{run}/saes/{sae}/latents")
def latents(reader: Reader, sae: SaeName, query: Annotated[LatentQuery, Query()]) -> schema.LatentTable:
    """A page of the table of latents."""
    return reader.latents(sae, query)


@router.get("/runs/{run}/saes/{sae}/latents/{index}")
def latent(reader: Reader, sae: SaeName, index: LatentIndex) -> schema.LatentDetail:
    """One latent: examples, histogram, logits, explanations."""
    return reader.latent(sae, index)


@router.get("/runs/{run}/saes/{sae}/latents/{index}/card")
def card(reader: Reader, sae: SaeName, index: LatentIndex) -> schema.LatentCard:
    """What the small card of a latent shows."""
    return reader.card(sae, index)


@router.get("/runs/{run}/saes/{sae}/latents/{index}/chart")
def latent_chart(reader: Reader, sae: SaeName, index: LatentIndex) -> dict[str, Any]:
    """The histogram of a latent's activations, as a Vega-Lite specification."""
    return reader.latent_chart(sae, index)


@router.get("/runs/{run}/saes/{sae}/random")
def random_latent(reader: Reader, sae: SaeName) -> schema.LatentIndex:
    """Some latent that fires."""
    return schema.LatentIndex(sae=sae, index=reader.random_latent(sae))


@router.get("/runs/{run}/saes/{sae}/prompt")
def prompt(
    reader: Reader, sae: SaeName, text: Annotated[str, Query(min_length=1, max_length=MAX_PROMPT_CHARS)]
) -> schema.PromptReading:
    """The latents on each token of a text: one forward of the model."""
    return reader.read_prompt(sae, text)
