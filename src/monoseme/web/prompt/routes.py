"""The prompt page. Each address takes the text as `text`, and is one forward of the model or two.

GET /api/runs/{run}/saes/{sae}/prompt                  the latents on each token
GET /api/runs/{run}/saes/{sae}/prompt/layers           the codes at each site, where sites have codes of their own
GET /api/runs/{run}/saes/{sae}/prompt/layers/table     the latents at one position over the layers
GET /api/runs/{run}/saes/{sae}/prompt/time             the strongest latents token by token, and the parts of the code
GET /api/runs/{run}/saes/{sae}/prompt/logits           what comes next: as it is, with the reconstruction, steered
"""

from typing import Annotated

from fastapi import APIRouter, Query
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from monoseme.web.prompt._query import MAX_PROMPT_CHARS, LogitsQuery
from monoseme.web.prompt._reader import PromptReader
from monoseme.web.prompt.answers import LayersReading, LayerTable, LogitsReading, PromptReading, TimeReading
from monoseme.web.routing import SaeName, ServedRun, imported_first
from monoseme.web.values import Model

PromptText = Annotated[str, Query(min_length=1, max_length=MAX_PROMPT_CHARS)]
Position = Annotated[int, Query(ge=0, lt=2**31, description="index of a token")]
Threshold = Annotated[float, Query(ge=0, lt=1, description="share of the largest value at the position")]
RowCount = Annotated[int, Query(ge=1, le=200, description="latents of each part")]
Latent = Annotated[int | None, Query(ge=0, lt=2**31, description="a latent to show wherever it fires")]

_VIEWS = ("_reading", "_layers", "_layer_table", "_time", "_logits", "_steered")
router = APIRouter(dependencies=[imported_first("monoseme.web.forward", *(f"monoseme.web.prompt.{name}" for name in _VIEWS))])


@router.get("/runs/{run}/saes/{sae}/prompt", response_model=PromptReading)
async def prompt(run: ServedRun, sae: SaeName, text: PromptText) -> Response:
    """The latents on each token of a text."""
    return await _json(await run.page(PromptReader).read(sae, text))


@router.get("/runs/{run}/saes/{sae}/prompt/layers", response_model=LayersReading)
async def layers(run: ServedRun, sae: SaeName, text: PromptText) -> Response:
    """Codes, histograms and metrics of a text at each site of an SAE of several."""
    return await _json(await run.page(PromptReader).layers(sae, text))


@router.get("/runs/{run}/saes/{sae}/prompt/layers/table", response_model=LayerTable)
async def layer_table(
    run: ServedRun, sae: SaeName, text: PromptText, position: Position, threshold: Threshold = 0.05
) -> Response:
    """The latents above the threshold at one position, by mean layer, then the largest total first."""
    return await _json(await run.page(PromptReader).layer_table(sae, text, position=position, threshold=threshold))


@router.get("/runs/{run}/saes/{sae}/prompt/time", response_model=TimeReading)
async def over_time(run: ServedRun, sae: SaeName, text: PromptText, rows: RowCount = 40, latent: Latent = None) -> Response:
    """The strongest latents of each part of the code along a text, and how much each part rebuilds of each token."""
    return await _json(await run.page(PromptReader).time(sae, text, n_rows=rows, latent=latent))


@router.get("/runs/{run}/saes/{sae}/prompt/logits", response_model=LogitsReading)
async def logits(run: ServedRun, sae: SaeName, query: Annotated[LogitsQuery, Query()]) -> Response:
    """What the model expects next: as it is, with the reconstruction at a site, and steered there."""
    return await _json(await run.page(PromptReader).logits(sae, query))


async def _json(answer: Model) -> Response:
    """Megabytes of numbers are written beside the event loop, and checked once, when the answer is made."""
    return Response(await run_in_threadpool(answer.model_dump_json), media_type="application/json")
