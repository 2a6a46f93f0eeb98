"""The steer page: texts that the model writes with latents turned up or down."""

from monoseme.web.steer._reader import SteerReader
from monoseme.web.steer.routes import router

__all__ = ["SteerReader", "router"]
