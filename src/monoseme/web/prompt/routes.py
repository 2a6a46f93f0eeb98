"""The prompt page.

GET /api/runs/{run}/saes/{sae}/prompt?text=            the latents on each token of a text
"""

from typing import Annotated

from fastapi import APIRouter, Query

from monoseme.web.prompt._reader import PromptReader
from monoseme.web.prompt.answers import PromptReading
from monoseme.web.routing import SaeName, ServedRun

MAX_PROMPT_CHARS = 8000
"""Longest prompt accepted; a longer URL does not pass every browser and server."""

PromptText = Annotated[str, Query(min_length=1, max_length=MAX_PROMPT_CHARS)]

router = APIRouter()


@router.get("/runs/{run}/saes/{sae}/prompt")
async def prompt(run: ServedRun, sae: SaeName, text: PromptText) -> PromptReading:
    """The latents on each token of a text: one forward of the model."""
    return await run.page(PromptReader).read(sae, text)
