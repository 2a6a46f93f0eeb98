"""The API behind the pages, as JSON under `/api`: each page's routes are in its own package. Errors are `{"error", "hint"}`."""

from fastapi import APIRouter

from monoseme.web import latent, latents, overview, prompt, steer, studies
from monoseme.web.values import ApiError

router = APIRouter(prefix="/api", responses={status: {"model": ApiError} for status in (400, 404, 409, 422, 500)})
for page in (overview, latents, latent, prompt, steer, studies):
    router.include_router(page.router)
