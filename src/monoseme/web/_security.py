"""Who may connect: the host name asked for, the page that asks, a token when exposed, and the headers of every answer.

A page on the web can make the user's own browser call a local server. Two checks stop it: the Host header must name this
server (a hostile name that resolves to 127.0.0.1, DNS rebinding, does not), and what another site's script sends is refused.
What changes or starts something is asked for in JSON, which a form of another site cannot send, and is of a bounded size.
"""

import hmac
import ipaddress
import re
from collections.abc import Iterable
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qsl, urlencode

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})

# Scripts and styles only from our own files: no inline code and no eval, so that text which slips into the page stays text.
_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data: blob:",
        "font-src 'self'",
        "connect-src 'self'",
        "manifest-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
SECURITY_HEADERS = {
    "content-security-policy": _POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=()",
}
_COOKIE = "monoseme_token"
_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_HOST = re.compile(r"\[?([0-9a-z._-]+|[0-9a-f:.]+(?=]))]?(:[0-9]{1,5})?", re.ASCII)
_LENGTH = re.compile(r"[0-9]{1,10}", re.ASCII)
MAX_BODY_BYTES = 1_000_000
"""The longest body of a request; a longer one is refused unread."""


def is_loopback(host: str) -> bool:
    """Whether a host name or address reaches this machine only."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower() == "localhost"


class Guard:
    """ASGI middleware: refuses requests that do not come from this server's own pages, and adds the security headers.

    `hosts`: names accepted in the Host header beside the loopback ones; None accepts any name (only with a token).
    `token`: when given, each request needs it, as `?token=` (which becomes a cookie) or as `Authorization: Bearer`.
    """

    def __init__(self, app: ASGIApp, *, hosts: Iterable[str] | None = (), token: str | None = None) -> None:
        self._app = app
        self._hosts = None if hosts is None else _LOOPBACK_NAMES | {host.lower() for host in hosts}
        self._token = token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            # The app has no websockets; lifespan events pass.
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return
        refusal = self._refusal(scope)
        app = self._app if refusal is None else refusal
        scope = scope if self._token is None else _without_token(scope)

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in SECURITY_HEADERS.items():
                    headers.setdefault(name, value)
                # What a run holds changes while it is evaluated, scanned and explained.
                headers.setdefault("cache-control", "no-store")
            await send(message)

        await app(scope, receive, send_with_headers)

    def _refusal(self, scope: Scope) -> Response | None:
        """The answer to give instead of the app's, or None when the request is welcome."""
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        if self._hosts is not None and _host_name(host) not in self._hosts:
            return _refuse(
                421,
                f"this server does not answer for the host {host[:80]!r}",
                "Open it under the address that `monoseme serve` printed.",
            )
        origin = headers.get("origin")
        if origin is not None and origin.lower() not in (f"http://{host.lower()}", f"https://{host.lower()}"):
            return _refuse(403, "another site's page asked for this", "Open the app's own address in the browser.")
        # Navigating here from a link elsewhere is fine; a script or a frame elsewhere that fetches from here is not, be it on a
        # neighbouring port of this machine ("same-site").
        if headers.get("sec-fetch-site") in ("cross-site", "same-site") and not _follows_a_link(headers):
            return _refuse(403, "another site's page asked for this", "Open the app's own address in the browser.")
        refusal = None if self._token is None else self._token_refusal(scope, headers, self._token)
        return refusal or (None if scope["method"] in _SAFE_METHODS else _body_refusal(headers))

    def _token_refusal(self, scope: Scope, headers: Headers, token: str) -> Response | None:
        query = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        given = dict(query).get("token")
        if given is not None and _same(given, token):
            if scope["method"] != "GET" or scope["path"].startswith("/api/"):
                return None
            # The token leaves the address bar, so that it is neither shared with a copied link nor kept in the history.
            rest = urlencode([pair for pair in query if pair[0] != "token"])
            answer = RedirectResponse("/" + scope["path"].lstrip("/") + (f"?{rest}" if rest else ""), status_code=303)
            answer.set_cookie(_COOKIE, token, httponly=True, samesite="strict")
            return answer
        bearer = headers.get("authorization", "").removeprefix("Bearer ")
        if _same(bearer, token) or _same(_cookie(headers), token):
            return None
        return _refuse(
            401,
            "this server asks for a token",
            "Open the whole address that `monoseme serve --expose` printed, with its `?token=`.",
        )


def _follows_a_link(headers: Headers) -> bool:
    """Whether the browser goes to a page of its own, and not to one inside another."""
    return headers.get("sec-fetch-mode") == "navigate" and headers.get("sec-fetch-dest", "document") == "document"


def _without_token(scope: Scope) -> Scope:
    """The request as the app sees it, to which the token is a parameter that it does not know."""
    pairs = scope["query_string"].split(b"&")
    kept = [pair for pair in pairs if pair.partition(b"=")[0] != b"token"]
    return scope if len(kept) == len(pairs) else {**scope, "query_string": b"&".join(kept)}


def _body_refusal(headers: Headers) -> Response | None:
    """Refuses a body that is not JSON, has no length, or is too long."""
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        return _refuse(415, f"the body is {kind[:80] or 'of no type'!r}", "Send JSON, with `content-type: application/json`.")
    length = headers.get("content-length", "")
    # Where a body comes in chunks, its length is not the one that is said.
    if not length.isdecimal() or "transfer-encoding" in headers:
        return _refuse(411, "the length of the body is not said", "Send it with a `content-length`, and not in chunks.")
    if not _LENGTH.fullmatch(length) or int(length) > MAX_BODY_BYTES:
        return _refuse(413, f"the body has {length[:20]} bytes", f"At most {MAX_BODY_BYTES:,} are taken.")
    return None


def _host_name(host: str) -> str:
    """The name in a Host header without its port, lower case; empty for what is no host."""
    found = _HOST.fullmatch(host.lower())
    return found[1] if found else ""


def _cookie(headers: Headers) -> str:
    """The token that the browser kept, or an empty string."""
    try:
        morsel = SimpleCookie(headers.get("cookie", "")).get(_COOKIE)
    except CookieError:
        return ""
    return morsel.value if morsel else ""


def _same(given: str, token: str) -> bool:
    """Equality in constant time."""
    return hmac.compare_digest(given.encode(), token.encode())


def _refuse(status: int, error: str, hint: str) -> Response:
    return JSONResponse({"error": error, "hint": hint}, status_code=status)
