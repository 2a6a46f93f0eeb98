"""The web app: pages over finished runs, for the browser; `monoseme serve`."""

from monoseme.web._app import create_app
from monoseme.web._serve import serve

__all__ = ["create_app", "serve"]
