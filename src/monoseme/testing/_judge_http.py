"""The HTTP side of a judge server: which path does what."""

import json
import re
import time
from collections.abc import Mapping
from email.parser import BytesParser
from email.policy import HTTP
from http.server import BaseHTTPRequestHandler
from typing import Any, NamedTuple, cast

from monoseme.testing import _judge_wire as wire
from monoseme.testing._judge_wire import Asked, Given, Protocol, Usage


class Outcome(NamedTuple):
    """A question with what it was given and what that costs."""

    asked: Asked
    given: Given
    used: Usage


class _Refused(Exception):
    """A request is answered by an error."""

    def __init__(self, given: Given) -> None:
        super().__init__(given.text)
        self.given = given


class Handler(BaseHTTPRequestHandler):
    """Answers one connection; what it knows is the judge server's."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: the server keeps its own list."""

    @property
    def _judge(self) -> Any:
        return self.server.judge_server  # pyright: ignore[reportAttributeAccessIssue]

    def do_GET(self) -> None:
        self._do("GET")

    def do_POST(self) -> None:
        self._do("POST")

    def _do(self, method: str) -> None:
        path = self.path.partition("?")[0]
        content = self.rfile.read(int(self.headers.get("content-length", 0)))
        protocol: Protocol = "anthropic" if path.startswith("/v1/messages") else "openai"
        self._judge.note(method, path)
        given, is_done = self._judge.fault(path) or (None, False)
        self._instead: Given | None = given if is_done else None
        try:
            self._check_key()
            if given is not None and not is_done:
                raise _Refused(given)
            self._route(method, path, content, protocol)
        except _Refused as refused:
            self._send_error(protocol, refused.given)
        except (ValueError, KeyError, TypeError) as error:
            self._send_error(protocol, Given(status=400, text=str(error)))

    def _route(self, method: str, path: str, content: bytes, protocol: Protocol) -> None:
        asks = {
            "/v1/messages": self._ask,
            "/v1/chat/completions": self._ask,
            "/v1/messages/count_tokens": self._count,
            "/v1/responses/input_tokens": self._count,
        }
        if method == "POST" and path in asks:
            asks[path](json.loads(content), protocol)
        elif self._judge.has_batches:
            self._route_batches(method, path, content, protocol)
        else:
            raise _Refused(Given(status=404, text=f"no {path} here"))

    def _route_batches(self, method: str, path: str, content: bytes, protocol: Protocol) -> None:
        root = "/v1/messages/batches" if protocol == "anthropic" else "/v1/batches"
        one = re.fullmatch(rf"{root}/([\w-]+)(/results)?", path)
        of_file = re.fullmatch(r"/v1/files/([\w-]+)/content", path)
        if method == "POST" and path == root:
            self._new_batch(json.loads(content), protocol)
        elif method == "POST" and path == "/v1/files":
            self._send_json({"id": self._judge.keep_file(_file_in(self.headers, content)), "object": "file", "purpose": "batch"})
        elif method == "GET" and path == root:
            self._list_batches(protocol)
        elif method == "GET" and one:
            self._show_batch(one[1], results=one[2] is not None)
        elif method == "GET" and of_file and of_file[1] in self._judge.files:
            self._send(200, self._judge.files[of_file[1]], {})
        else:
            raise _Refused(Given(status=404, text=f"no {method} {path} here"))

    def _check_key(self) -> None:
        given = self.headers.get("x-api-key") or (self.headers.get("authorization") or "").removeprefix("Bearer ")
        if given != self._judge.key:
            # As a careless server does: the wrong key is said aloud.
            raise _Refused(Given(status=401, text=f"invalid key: {given}"))

    def _ask(self, body: Mapping[str, Any], protocol: Protocol) -> None:
        self._check_version(body, protocol)
        asked = wire.read_question(protocol, body)
        if refusal := self._judge.refusal(asked.n_tokens):
            raise _Refused(refusal)
        self._judge.works(1)
        try:
            outcome = self._judge.outcome(asked, in_batch=False)
            if outcome.given.seconds:
                time.sleep(outcome.given.seconds)
        finally:
            self._judge.works(-1)
        if outcome.given.status != 200:
            raise _Refused(outcome.given)
        content = wire.encoded(wire.reply(*outcome, number=len(self._judge.charges)))
        given = outcome.given
        self._send(200, given.raw or content, given.headers, n_bytes=given.n_bytes, drip=given.drip)

    def _check_version(self, body: Mapping[str, Any], protocol: Protocol) -> None:
        """Anthropic's API takes no temperature from its version of October 2026 on."""
        if protocol == "anthropic" and "temperature" in body and self.headers.get("anthropic-version", "") >= "2026-10-21":
            raise ValueError("temperature: Extra inputs are not permitted")

    def _count(self, body: Mapping[str, Any], protocol: Protocol) -> None:
        self._check_version(body, protocol)
        # max_tokens is no part of what is counted.
        asked = wire.read_question("anthropic", {**body, "max_tokens": 1}) if protocol == "anthropic" else wire.read_count(body)
        self._send_json({"input_tokens": asked.n_tokens, "object": "response.input_tokens"})

    def _new_batch(self, body: Mapping[str, Any], protocol: Protocol) -> None:
        if protocol == "anthropic":
            for each in body["requests"]:
                self._check_version(each["params"], protocol)
            lines = [(each["custom_id"], each["params"]) for each in body["requests"]]
        else:
            rows = [json.loads(line) for line in self._judge.files[body["input_file_id"]].splitlines()]
            lines = [(row["custom_id"], row["body"]) for row in rows]
        if len({name for name, _ in lines}) != len(lines) or not lines:
            raise ValueError("custom_id: must be unique, and there must be one")
        questions = [(name, wire.read_question(protocol, params)) for name, params in lines]
        batch = self._judge.new_batch(protocol, questions, body.get("metadata") or {})
        if protocol == "openai":
            batch.files["input"] = body["input_file_id"]
            for name, errors in (("output", False), ("errors", True)):
                if content := wire.openai_results(batch.results, errors=errors):
                    batch.files[name] = self._judge.keep_file(content)
        self._send_batch(batch, is_ended=False)

    def _list_batches(self, protocol: Protocol) -> None:
        """All batches, newest first, one page."""
        batches = [batch for batch in self._judge.batches.values() if batch.protocol == protocol][::-1]
        data = [_describe(batch, is_ended=batch.n_looks_left < 0) for batch in batches]
        ids = [batch.batch_id for batch in batches] or [None]
        self._send_json({"object": "list", "data": data, "has_more": False, "first_id": ids[0], "last_id": ids[-1]})

    def _show_batch(self, batch_id: str, *, results: bool) -> None:
        found = self._judge.look(batch_id)
        if found is None:
            raise _Refused(Given(status=404, text=f"no batch {batch_id}"))
        batch, is_ended = found
        if not results:
            self._send_batch(batch, is_ended=is_ended)
        elif is_ended:
            self._send(200, wire.anthropic_results(batch.results), {"content-type": "application/x-jsonl"})
        else:
            raise _Refused(Given(status=404, text="no results yet"))

    def _send_batch(self, batch: Any, *, is_ended: bool) -> None:
        self._send_json(_describe(batch, is_ended=is_ended))

    def _send_json(self, told: Mapping[str, Any]) -> None:
        self._send(200, wire.encoded(told), {})

    def _send_error(self, protocol: Protocol, given: Given) -> None:
        content = wire.encoded(wire.error(protocol, given.status, given.text))
        self._send(given.status, given.raw or content, given.headers, n_bytes=given.n_bytes)

    def _send(
        self, status: int, content: bytes, headers: Mapping[str, str], *, n_bytes: int | None = None, drip: float | None = None
    ) -> None:
        """One reply; with `n_bytes`, the connection is closed before all that was announced is sent."""
        if (instead := self._instead) is not None:
            status, content, headers, n_bytes = instead.status, instead.raw or content, instead.headers, instead.n_bytes
        try:
            self.send_response(status)
            for name, value in {"content-type": "application/json", **headers}.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            for part in [content[:n_bytes]] if drip is None else [content[i : i + 16] for i in range(0, len(content), 16)]:
                self.wfile.write(part)
                time.sleep(drip or 0.0)
        except ConnectionError:
            self.close_connection = True  # the client went away, as one that is killed does
        if n_bytes is not None:
            self.close_connection = True


def _describe(batch: Any, *, is_ended: bool) -> dict[str, Any]:
    """How a batch is shown by the protocol it came by."""
    return wire.anthropic_batch(batch, is_ended=is_ended) if batch.protocol == "anthropic" else wire.openai_batch(batch, is_ended)


def _file_in(headers: Any, content: bytes) -> bytes:
    """The file in a multipart form."""
    form = BytesParser(policy=HTTP).parsebytes(f"content-type: {headers['content-type']}\r\n\r\n".encode() + content)
    for part in form.iter_parts():  # pyright: ignore[reportAttributeAccessIssue]
        if part.get_filename():
            return cast("bytes", part.get_payload(decode=True))
    raise ValueError("file: Field required")
