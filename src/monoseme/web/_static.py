"""The front end's files, the chart library, and one page for every address that the front end draws.

The files ship in the wheel. The chart library (Vega, Vega-Lite, Vega-Embed) comes out of an installed Python package as one
script, built once when a page first asks for it, so nothing is fetched from the network.
"""

import functools
import importlib.metadata
from pathlib import Path

from fastapi import APIRouter, Request
from starlette.exceptions import HTTPException
from starlette.responses import FileResponse, Response

STATIC = Path(__file__).with_name("static")
CHART_SCRIPT = "assets/vega.js"
_TYPES = {
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".html": "text/html; charset=utf-8",
}


@functools.cache
def chart_bundle() -> bytes:
    """Vega, Vega-Lite and Vega-Embed as one module that sets `window.vegaEmbed` (about 0.9 MB, 1.3 s the first time)."""
    import vl_convert

    # Its stub says that `snippet` has no default; it has one, which sets window.vegaEmbed.
    return vl_convert.javascript_bundle().encode()  # pyright: ignore[reportCallIssue]


@functools.cache
def _assets() -> dict[str, Path]:
    """Every file that may be served, by its path under `/assets`; a name that is not here does not exist."""
    files = (path for path in STATIC.rglob("*") if path.suffix in _TYPES and path.name != "index.html")
    return {path.relative_to(STATIC).as_posix(): path for path in files}


def router() -> APIRouter:
    """Routes of the front end; to be added after the API's, because the last one takes every path."""
    routes = APIRouter(include_in_schema=False)

    @routes.get("/assets/vega.js")
    def vega(request: Request) -> Response:
        tag = f'"{importlib.metadata.version("vl-convert-python")}"'
        headers = {"etag": tag, "cache-control": "private, max-age=86400"}
        if request.headers.get("if-none-match") == tag:
            return Response(status_code=304, headers=headers)
        return Response(chart_bundle(), media_type=_TYPES[".js"], headers=headers)

    @routes.get("/assets/{name:path}")
    def asset(name: str) -> Response:
        path = _assets().get(name)
        if path is None:
            raise HTTPException(404, f"no file {name!r} in the front end")
        # Asked again each time, answered 304 when unchanged: an upgrade never meets an old script.
        return FileResponse(path, media_type=_TYPES[path.suffix], headers={"cache-control": "no-cache"})

    @routes.get("/api/{_rest:path}")
    def no_such_route(_rest: str) -> Response:
        raise HTTPException(404, "the API has no such address; its addresses are in /api/openapi.json")

    @routes.get("/favicon.ico")
    def favicon() -> Response:
        return FileResponse(STATIC / "icon.svg", media_type=_TYPES[".svg"])

    @routes.get("/{_path:path}")
    def page(_path: str) -> Response:
        return FileResponse(STATIC / "index.html", media_type=_TYPES[".html"], headers={"cache-control": "no-cache"})

    return routes
