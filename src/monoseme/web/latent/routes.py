"""The page of a latent.

GET /api/runs/{run}/saes/{sae}/latents/{index}         examples, histogram, logits, explanations
GET /api/runs/{run}/saes/{sae}/latents/{index}/card    the small card
GET /api/runs/{run}/saes/{sae}/latents/{index}/chart   its histogram, a Vega-Lite specification
"""

from typing import Any

from fastapi import APIRouter

from monoseme.web.latent._reader import LatentReader
from monoseme.web.latent.answers import LatentCard, LatentDetail
from monoseme.web.routing import LatentIndex, SaeName, ServedRun

router = APIRouter()


@router.get("/runs/{run}/saes/{sae}/latents/{index}")
def latent(run: ServedRun, sae: SaeName, index: LatentIndex) -> LatentDetail:
    """One latent: examples, histogram, logits, explanations."""
    return run.page(LatentReader).detail(sae, index)


@router.get("/runs/{run}/saes/{sae}/latents/{index}/card")
def card(run: ServedRun, sae: SaeName, index: LatentIndex) -> LatentCard:
    """What the small card of a latent shows."""
    return run.page(LatentReader).card(sae, index)


@router.get("/runs/{run}/saes/{sae}/latents/{index}/chart")
def latent_chart(run: ServedRun, sae: SaeName, index: LatentIndex) -> dict[str, Any]:
    """The histogram of a latent's activations, as a Vega-Lite specification."""
    return run.page(LatentReader).chart(sae, index)
