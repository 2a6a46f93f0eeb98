"""The page of one latent."""

from monoseme.web.latent._reader import LatentReader
from monoseme.web.latent.routes import router

__all__ = ["LatentReader", "router"]
