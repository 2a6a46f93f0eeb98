"""The map of a dictionary.

GET /api/runs/{run}/saes/{sae}/map            how far it is: ?method=umap|pca; asking begins it
GET /api/runs/{run}/saes/{sae}/map/points     where each latent lies
"""

from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import Response

from monoseme.web.columns import BYTES, floats
from monoseme.web.overview._map import MapReader, Method
from monoseme.web.overview.compare_answers import DictionaryMap
from monoseme.web.routing import SaeName, ServedRun
from monoseme.web.run_files import UnavailableError

router = APIRouter(prefix="/runs/{run}/saes/{sae}/map")
Wanted = Annotated[Method, Query(description="umap keeps who is near whom; pca is there at once")]


@router.get("")
def state(run: ServedRun, sae: SaeName, method: Wanted = "umap") -> DictionaryMap:
    """Whether the map is made; asked for the first time, it is begun."""
    progress, found = run.page(MapReader).place(sae, method)
    return DictionaryMap(
        sae=sae,
        method=method,
        progress=progress,
        n_latents=None if found is None else found.points.shape[1],
        n_placed=None if found is None else found.n_placed,
        left_out="" if found is None else found.left_out,
    )


@router.get("/points", response_class=Response, responses=BYTES)
def points(run: ServedRun, sae: SaeName, method: Wanted = "umap") -> Response:
    """x of every latent, then y of every latent, as little-endian float32 in [-1, 1]; NaN for one that is not on the map."""
    found = run.page(MapReader).place(sae, method).result
    if found is None:
        raise UnavailableError(f"the map of {sae} is not made yet\n  Ask for its state until that is done.")
    return floats(found.points)
