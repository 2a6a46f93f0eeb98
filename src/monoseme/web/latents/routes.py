"""The table of latents.

GET /api/runs/{run}/saes/{sae}/latents           a page: ?sort=&order=&offset=&limit=&show= and filters
GET /api/runs/{run}/saes/{sae}/latents/columns   what can be shown, sorted by and stated
GET /api/runs/{run}/saes/{sae}/latents/values    whole columns, for plots: ?columns=density,max
GET /api/runs/{run}/saes/{sae}/latents/passing   which latents pass filters, for plots
GET /api/runs/{run}/saes/{sae}/random            the index of some latent that fires

Filters: ?q=&by=&where=&state=&role=&only=&density_min=&density_max=&max_min=&max_max=&score_min=&score_max=
"""

from typing import Annotated

import numpy as np
from fastapi import APIRouter, Query
from starlette.responses import Response

from monoseme.web.columns import BYTES, floats, plain_bytes
from monoseme.web.latents._query import LatentFilter, LatentQuery
from monoseme.web.latents._reader import LatentsReader
from monoseme.web.latents.answers import LatentColumns, LatentTable, RandomLatent
from monoseme.web.routing import SaeName, ServedRun

router = APIRouter()


@router.get("/runs/{run}/saes/{sae}/latents")
def latents(run: ServedRun, sae: SaeName, query: Annotated[LatentQuery, Query()]) -> LatentTable:
    """A page of the table of latents."""
    return run.page(LatentsReader).page(sae, query)


@router.get("/runs/{run}/saes/{sae}/latents/columns")
def columns(run: ServedRun, sae: SaeName) -> LatentColumns:
    """What can be asked of the table."""
    return run.page(LatentsReader).columns(sae)


@router.get("/runs/{run}/saes/{sae}/latents/values", response_class=Response, responses=BYTES)
def values(
    run: ServedRun,
    sae: SaeName,
    columns: Annotated[str, Query(min_length=1, max_length=200, description="names, with commas between")],
) -> Response:
    """Columns of all latents, one behind the other: a little-endian float32 for each latent, NaN where a number is missing."""
    names = [name.strip() for name in columns.split(",")]
    return floats(run.page(LatentsReader).values(sae, names))


@router.get("/runs/{run}/saes/{sae}/latents/passing", response_class=Response, responses=BYTES)
def passing(run: ServedRun, sae: SaeName, asked: Annotated[LatentFilter, Query()]) -> Response:
    """Which latents pass the filters: a bit for each, the first the lowest of its byte."""
    return plain_bytes(np.packbits(run.page(LatentsReader).passing(sae, asked), bitorder="little").tobytes())


@router.get("/runs/{run}/saes/{sae}/random")
def random_latent(run: ServedRun, sae: SaeName) -> RandomLatent:
    """Some latent that fires."""
    return RandomLatent(sae=sae, index=run.page(LatentsReader).random(sae))
