"""The front end's files, the chart library, and one page for every address that the front end draws.

The files ship in the wheel. They are served under an address that changes when any of them does, so that a browser keeps them for
good and an upgrade never meets an old script. The chart library (Vega, Vega-Lite, Vega-Embed) comes out of an installed Python
package as one script, built once when a page first asks for it, so nothing is fetched from the network.
"""

import functools
import hashlib
import importlib.metadata
from pathlib import Path

from fastapi import APIRouter, Request
from starlette.exceptions import HTTPException
from starlette.responses import FileResponse, HTMLResponse, Response

from monoseme.web._modules import in_order

STATIC = Path(__file__).with_name("static")
_TYPES = {
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".html": "text/html; charset=utf-8",
}
_FOR_GOOD = {"cache-control": "private, max-age=31536000, immutable"}
_ASK_AGAIN = {"cache-control": "no-cache"}


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
    return {path.relative_to(STATIC).as_posix(): path for path in sorted(files)}


def version() -> str:
    """A name of the files as they are now, by their sizes and times; it is asked for once a page load (about 1 ms)."""
    told = hashlib.sha256()
    for name, path in _assets().items():
        found = path.stat()
        told.update(f"{name} {found.st_size} {found.st_mtime_ns}\n".encode())
    return told.hexdigest()[:16]


def router() -> APIRouter:
    """Routes of the front end; to be added after the API's, because the last one takes every path."""
    routes = APIRouter(include_in_schema=False)
    routes.add_api_route("/assets/vega.js", _vega)
    routes.add_api_route("/assets/at-{named}/{name:path}", _versioned_asset)
    routes.add_api_route("/assets/{name:path}", _asset)
    routes.add_api_route("/api/{_rest:path}", _no_such_route)
    routes.add_api_route("/favicon.ico", _favicon)
    routes.add_api_route("/{_path:path}", _page)
    return routes


def _vega(request: Request) -> Response:
    tag = f'"{importlib.metadata.version("vl-convert-python")}"'
    headers = {"etag": tag, "cache-control": "private, max-age=86400"}
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers=headers)
    return Response(chart_bundle(), media_type=_TYPES[".js"], headers=headers)


def _versioned_asset(named: str, name: str) -> Response:
    # A page of another version still gets a script, but does not keep it under a name that is not its own.
    return _file(name, _FOR_GOOD if named == version() else _ASK_AGAIN)


def _asset(name: str) -> Response:
    return _file(name, _ASK_AGAIN)


def _file(name: str, headers: dict[str, str]) -> Response:
    path = _assets().get(name)
    if path is None:
        raise HTTPException(404, f"no file {name!r} in the front end")
    return FileResponse(path, media_type=_TYPES[path.suffix], headers=headers)


def _no_such_route(_rest: str) -> Response:
    raise HTTPException(404, "the API has no such address; its addresses are in /api/openapi.json")


def _favicon() -> Response:
    return FileResponse(STATIC / "icon.svg", media_type=_TYPES[".svg"])


def _page(_path: str) -> Response:
    return HTMLResponse(_index(version()), headers=_ASK_AGAIN)


@functools.lru_cache(maxsize=1)
def _index(named: str) -> str:
    """The page of this version. It names the modules that the first one needs, so that the browser asks for all at once."""
    modules = in_order("js/app.js", lambda path: (STATIC / path).read_text(encoding="utf-8"))
    links = "".join(f'    <link rel="modulepreload" href="/assets/{path}" />\n' for path in modules)
    text = (STATIC / "index.html").read_text(encoding="utf-8")
    return text.replace("  </head>", f"{links}  </head>").replace("/assets/", f"/assets/at-{named}/")
