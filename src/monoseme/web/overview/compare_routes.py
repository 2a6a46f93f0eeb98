"""Two SAEs against each other, each named RUN:SAE.

GET /api/compare            metrics with differences: ?a=RUN:SAE&b=RUN:SAE
GET /api/compare/match      latents matched by their directions: how far it is, then its numbers and pairs
"""

from typing import Annotated, NamedTuple

from fastapi import APIRouter, Query

from monoseme.web._library import Library
from monoseme.web.overview._compare import CompareReader, Order, PartnerQuery
from monoseme.web.overview.compare_answers import MatchState, SaeComparison
from monoseme.web.routing import ServedRuns
from monoseme.web.run_files import BadRequestError

router = APIRouter(prefix="/compare")
Named = Annotated[str, Query(max_length=400, description="a run and an SAE of it: demo:topk")]


class _Chosen(NamedTuple):
    reader: CompareReader
    sae: str


def _chosen(library: Library, name: str) -> _Chosen:
    run, colon, sae = name.partition(":")
    if not colon:
        raise BadRequestError(f"{name!r} does not name an SAE\n  Write the run and the SAE with a colon between: demo:topk")
    return _Chosen(library.get(run).page(CompareReader), sae)


@router.get("")
def metrics(library: ServedRuns, a: Named, b: Named) -> SaeComparison:
    """Every number measured on either, and the differences."""
    one, other = _chosen(library, a), _chosen(library, b)
    return one.reader.metrics(one.sae, other.reader, other.sae)


@router.get("/match")
def match(
    library: ServedRuns,
    a: Named,
    b: Named,
    order: Order = "highest",
    mutual: bool = False,
    offset: Annotated[int, Query(ge=0, lt=2**31)] = 0,
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
) -> MatchState:
    """Each latent of a with the nearest direction of b."""
    one, other = _chosen(library, a), _chosen(library, b)
    return one.reader.match(one.sae, other.reader, other.sae, PartnerQuery(order, mutual, offset, limit))
