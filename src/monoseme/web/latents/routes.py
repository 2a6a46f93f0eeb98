"""The table of latents.

GET /api/runs/{run}/saes/{sae}/latents      a page: ?sort=&order=&q=&state=&offset=&limit=
GET /api/runs/{run}/saes/{sae}/random       the index of some latent that fires
"""

from typing import Annotated

from fastapi import APIRouter, Query

from monoseme.web.latents._query import LatentQuery
from monoseme.web.latents._reader import LatentsReader
from monoseme.web.latents.answers import LatentIndex, LatentTable
from monoseme.web.routing import SaeName, ServedRun

router = APIRouter()


@router.get("/runs/{run}/saes/{sae}/latents")
def latents(run: ServedRun, sae: SaeName, query: Annotated[LatentQuery, Query()]) -> LatentTable:
    """A page of the table of latents."""
    return run.page(LatentsReader).page(sae, query)


@router.get("/runs/{run}/saes/{sae}/random")
def random_latent(run: ServedRun, sae: SaeName) -> LatentIndex:
    """Some latent that fires."""
    return LatentIndex(sae=sae, index=run.page(LatentsReader).random(sae))
