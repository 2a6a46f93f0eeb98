"""The page of a latent.

GET /api/runs/{run}/saes/{sae}/latents/{index}                     examples, histogram, logits, explanations
GET /api/runs/{run}/saes/{sae}/latents/{index}/card                the small card
GET /api/runs/{run}/saes/{sae}/latents/{index}/judgements?part=    each judgement behind the scores of that label
GET /api/runs/{run}/saes/{sae}/latents/{index}/trial?text=         the latent on each token of a text
GET /api/runs/{run}/saes/{sae}/latents/{index}/vector              what it writes; ?format=safetensors as a file
"""

import re
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Response

from monoseme.web.latent._reader import LatentReader
from monoseme.web.latent.answers import Judgements, LatentCard, LatentDetail, LatentVectors, Trial
from monoseme.web.routing import LatentIndex, SaeName, ServedRun

_LATENT = "/runs/{run}/saes/{sae}/latents/{index}"
_MOST_CHARACTERS = 4000

PartLabel = Annotated[str, Query(min_length=1, max_length=200, description="label of scores")]
TrialText = Annotated[str, Query(min_length=1, max_length=_MOST_CHARACTERS)]

router = APIRouter()


@router.get(_LATENT)
def latent(run: ServedRun, sae: SaeName, index: LatentIndex) -> LatentDetail:
    """One latent: examples, histogram, logits, explanations."""
    return run.page(LatentReader).detail(sae, index)


@router.get(f"{_LATENT}/card")
def card(run: ServedRun, sae: SaeName, index: LatentIndex) -> LatentCard:
    """What the small card of a latent shows."""
    return run.page(LatentReader).card(sae, index)


@router.get(f"{_LATENT}/judgements")
def judgements(run: ServedRun, sae: SaeName, index: LatentIndex, part: PartLabel) -> Judgements:
    """Each judgement behind a score of a latent's explanation."""
    return run.page(LatentReader).judgements(sae, index, part)


@router.get(f"{_LATENT}/trial")
async def trial(run: ServedRun, sae: SaeName, index: LatentIndex, text: TrialText) -> Trial:
    """The latent on each token of a text: one forward of the model."""
    return await run.page(LatentReader).trial(sae, index, text)


@router.get(
    f"{_LATENT}/vector",
    response_model=LatentVectors,
    responses={200: {"content": {"application/octet-stream": {}}, "description": "Numbers, or a safetensors file"}},
)
def vector(run: ServedRun, sae: SaeName, index: LatentIndex, format: Literal["json", "safetensors"] = "json") -> Any:
    """What one unit of the latent adds to the activations, as JSON or as a safetensors file."""
    reader = run.page(LatentReader)
    if format == "json":
        return reader.vectors(sae, index)
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", f"{sae}-{index}")
    headers = {"content-disposition": f'attachment; filename="{name}.safetensors"'}
    return Response(reader.vector_file(sae, index), media_type="application/octet-stream", headers=headers)
