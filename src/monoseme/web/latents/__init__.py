"""The table of latents."""

from monoseme.web.latents._query import LatentQuery
from monoseme.web.latents._reader import LatentsReader
from monoseme.web.latents.routes import router

__all__ = ["LatentQuery", "LatentsReader", "router"]
