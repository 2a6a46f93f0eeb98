"""Who asks: requests of one browser tab count as one client, so that none gets more than its share of the model."""

from contextvars import ContextVar

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

TAB_HEADER = "x-monoseme-tab"
"""A tab's own name, which it draws when it opens. Without one, all requests of an address are of one client."""
_LONGEST_TAB = 64

_client: ContextVar[str] = ContextVar("client", default="")


def current_client() -> str:
    """Whose request is being answered; empty outside of requests."""
    return _client.get()


class ClientNames:
    """ASGI middleware: notes whose request it is for as long as it is answered."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        address = (scope.get("client") or ("",))[0]
        token = _client.set(f"{address} {Headers(scope=scope).get(TAB_HEADER, '')[:_LONGEST_TAB]}")
        try:
            await self._app(scope, receive, send)
        finally:
            _client.reset(token)
