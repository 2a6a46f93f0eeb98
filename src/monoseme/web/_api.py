"""The API behind the pages, as JSON under `/api`: each page's routes are in its own package. Errors are `{"error", "hint"}`."""

from fastapi import APIRouter

from monoseme.web import latent, latents, overview, prompt, steer, studies
from monoseme.web.values import ApiError

_REFUSALS = (400, 401, 403, 404, 409, 421, 422, 429, 500)
router = APIRouter(prefix="/api", responses={status: {"model": ApiError} for status in _REFUSALS})
for page in (overview, latents, latent, prompt, steer, studies):
    router.include_router(page.router)
