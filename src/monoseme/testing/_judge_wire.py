"""What goes over the wire to and from a judge server: questions read from requests, replies written as each provider does."""

import hashlib
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, NamedTuple

Protocol = Literal["anthropic", "openai"]
_STOPS = {
    "anthropic": {"end": "end_turn", "length": "max_tokens", "refusal": "refusal"},
    "openai": {"end": "stop", "length": "length", "refusal": "content_filter"},
}
_ERRORS = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    429: "rate_limit_error",
    529: "overloaded_error",
}


@dataclass(frozen=True, kw_only=True)
class Asked:
    """One question as it came."""

    protocol: Protocol
    model: str
    messages: tuple[tuple[str, str], ...]
    """Roles and texts, a system message among them."""
    schema: Mapping[str, Any] | None
    max_tokens: int
    n_logprobs: int
    marked: str
    """What stands before the last mark for the cache; empty without one."""
    body: Mapping[str, Any] = field(repr=False)
    """The request itself."""

    @property
    def last(self) -> str:
        """The last message's text."""
        return self.messages[-1][1]

    @property
    def fingerprint(self) -> str:
        """Hash of the request, equal for equal requests, asked alone or in a batch."""
        return hashlib.sha256(json.dumps(self.body, sort_keys=True).encode()).hexdigest()

    @property
    def n_tokens(self) -> int:
        """Input tokens (count): of all texts and the schema, and four for each message."""
        schema = "" if self.schema is None else json.dumps(self.schema, sort_keys=True)
        return count(schema) + sum(count(text) + 4 for _, text in self.messages)


@dataclass(frozen=True, kw_only=True)
class Given:
    """What one question is given."""

    text: str = ""
    stop: Literal["end", "length", "refusal"] = "end"
    status: int = 200
    """Of the HTTP reply; another than 200 is an error with `text` as its message, and costs nothing."""
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    raw: bytes | None = None
    """The body in place of the protocol's; still charged."""
    n_bytes: int | None = None
    """The connection is closed after so many bytes of the body; None: after all."""
    seconds: float = 0.0
    """How long the reply is kept back, after it was charged."""
    drip: float | None = None
    """Seconds between every 16 bytes of the body; None: all at once."""
    chances: Sequence[tuple[str, Mapping[str, float]]] = ()
    """Tokens with the log-probabilities at their places."""
    is_expired: bool = False
    """In a batch: never answered, and not charged."""


class Usage(NamedTuple):
    """Tokens charged (counts)."""

    input: int
    """Neither read from nor written to the cache."""
    cached: int
    written: int
    output: int


def count(text: str) -> int:
    """Tokens of a text by the server's own rule: a quarter of its bytes, rounded up."""
    return math.ceil(len(text.encode()) / 4)


def usage(asked: Asked, given: Given, *, written: int) -> Usage:
    """`written`: tokens written to the cache, negative where they were read from it."""
    n_output = min(count(given.text), asked.max_tokens)
    return Usage(asked.n_tokens - abs(written), max(-written, 0), max(written, 0), n_output)


def read_question(protocol: Protocol, body: Mapping[str, Any]) -> Asked:
    """The question in a request. Raises ValueError with what the provider would say."""
    for name in ("model", "messages"):
        if not body.get(name):
            raise ValueError(f"{name}: Field required")
    return _read_anthropic(body) if protocol == "anthropic" else _read_openai(body)


def _read_anthropic(body: Mapping[str, Any]) -> Asked:
    system, marked = _blocks(body.get("system", ""))
    turns = [(str(turn["role"]), _blocks(turn["content"])[0]) for turn in body["messages"]]
    if any(role not in ("user", "assistant") for role, _ in turns):
        raise ValueError("messages: roles must be user or assistant")
    schema = body.get("output_config", {}).get("format", {}).get("schema")
    _check_schema(schema, {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "minLength", "maxLength", "maxItems"})
    if "max_tokens" not in body:
        raise ValueError("max_tokens: Field required")
    texts = ([("system", system)] if system else []) + turns
    return Asked(
        protocol="anthropic",
        model=body["model"],
        messages=tuple(texts),
        schema=schema,
        max_tokens=body["max_tokens"],
        n_logprobs=0,
        marked=marked,
        body=body,
    )


def _read_openai(body: Mapping[str, Any]) -> Asked:
    form = body.get("response_format", {})
    schema = form.get("json_schema", {}).get("schema")
    if form.get("json_schema", {}).get("strict"):
        _check_schema(schema, {"default"})
    return Asked(
        protocol="openai",
        model=body["model"],
        messages=tuple((str(turn["role"]), _blocks(turn["content"])[0]) for turn in body["messages"]),
        schema=schema,
        max_tokens=body.get("max_completion_tokens", body.get("max_tokens", 1 << 20)),
        n_logprobs=body.get("top_logprobs", 0) if body.get("logprobs") else 0,
        marked="",
        body=body,
    )


def read_count(body: Mapping[str, Any]) -> Asked:
    """The question in a request to OpenAI's `responses/input_tokens`."""
    form = body.get("text", {}).get("format", {})
    chat: dict[str, Any] = {"model": body.get("model"), "messages": body.get("input")}
    if form.get("type") == "json_schema":
        chat["response_format"] = {"type": "json_schema", "json_schema": {"schema": form["schema"]}}
    return read_question("openai", chat)


def _blocks(content: Any) -> tuple[str, str]:
    """Text of a content that is a string or a list of blocks, and what of it is marked for the cache."""
    if isinstance(content, str):
        return content, ""
    texts = [str(block["text"]) for block in content]
    marks = [i for i, block in enumerate(content) if "cache_control" in block]
    return "".join(texts), "".join(texts[: marks[-1] + 1]) if marks else ""


def _check_schema(schema: Any, refused: set[str]) -> None:
    """Raises ValueError for what neither provider takes in a strict schema."""
    if isinstance(schema, Mapping):
        is_object = schema.get("type") == "object"
        if is_object and schema.get("additionalProperties") is not False:
            raise ValueError("schema: for 'object' type, 'additionalProperties' must be explicitly set to false")
        if is_object and set(schema.get("required", ())) != set(schema.get("properties", {})):
            raise ValueError("schema: 'required' must name all properties")
        if wrong := sorted(refused & set(schema)):
            raise ValueError(f"schema: property '{wrong[0]}' is not supported")
        for name, below in schema.items():
            children = below.values() if name in ("properties", "$defs") else [below]
            for child in children:
                _check_schema(child, refused)
    elif isinstance(schema, list):
        for child in schema:
            _check_schema(child, refused)


def reply(asked: Asked, given: Given, used: Usage, *, number: int) -> dict[str, Any]:
    """The body of a whole reply."""
    make = _anthropic_reply if asked.protocol == "anthropic" else _openai_reply
    return make(asked, given, used, number)


def _anthropic_reply(asked: Asked, given: Given, used: Usage, number: int) -> dict[str, Any]:
    return {
        "id": f"msg_{number:06d}",
        "type": "message",
        "role": "assistant",
        "model": asked.model,
        "content": [{"type": "text", "text": given.text}] if given.text else [],
        "stop_reason": _STOPS["anthropic"][given.stop],
        "stop_sequence": None,
        "usage": {
            "input_tokens": used.input,
            "cache_creation_input_tokens": used.written,
            "cache_read_input_tokens": used.cached,
            "output_tokens": used.output,
        },
    }


def _openai_reply(asked: Asked, given: Given, used: Usage, number: int) -> dict[str, Any]:
    chances = [
        {
            "token": token,
            "logprob": likeliest.get(token, -9999.0),
            "bytes": list(token.encode()),
            "top_logprobs": [{"token": name, "logprob": value} for name, value in list(likeliest.items())[: asked.n_logprobs]],
        }
        for token, likeliest in given.chances
    ]
    is_refused = given.stop == "refusal"
    message = {"role": "assistant", "content": None if is_refused else given.text, "refusal": given.text if is_refused else None}
    n_input = used.input + used.cached + used.written
    return {
        "id": f"chatcmpl-{number:06d}",
        "object": "chat.completion",
        "created": 1_700_000_000,
        "model": asked.model,
        "choices": [
            {
                "index": 0,
                "message": message,
                "finish_reason": "stop" if is_refused else _STOPS["openai"][given.stop],
                "logprobs": {"content": chances} if asked.n_logprobs else None,
            }
        ],
        "usage": {
            "prompt_tokens": n_input,
            "completion_tokens": used.output,
            "total_tokens": n_input + used.output,
            "prompt_tokens_details": {"cached_tokens": used.cached},
        },
    }


def error(protocol: Protocol, status: int, message: str) -> dict[str, Any]:
    """The body of an error."""
    kind = _ERRORS.get(status, "api_error")
    if protocol == "anthropic":
        return {"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_000"}
    return {"error": {"type": kind, "message": message, "param": None, "code": None}}


def anthropic_batch(batch: Any, *, is_ended: bool) -> dict[str, Any]:
    """How Anthropic shows a batch."""
    kinds = [_result_kind(outcome.given) for _, outcome in batch.results]
    counts = {kind: kinds.count(kind) if is_ended else 0 for kind in ("succeeded", "errored", "expired", "canceled")}
    created = datetime.fromtimestamp(batch.created, tz=UTC)
    return {
        "id": batch.batch_id,
        "type": "message_batch",
        "processing_status": "ended" if is_ended else "in_progress",
        "request_counts": {"processing": 0 if is_ended else len(kinds), **counts},
        "created_at": created.isoformat(),
        "expires_at": (created + timedelta(hours=24)).isoformat(),
        "ended_at": created.isoformat() if is_ended else None,
        "archived_at": None,
        "cancel_initiated_at": None,
        "results_url": f"/v1/messages/batches/{batch.batch_id}/results" if is_ended else None,
    }


def openai_batch(batch: Any, is_ended: bool) -> dict[str, Any]:
    """How OpenAI shows a batch: one in which questions expired is itself expired."""
    kinds = [_result_kind(outcome.given) for _, outcome in batch.results]
    n_done = kinds.count("succeeded")
    status = "in_progress" if not is_ended else "expired" if "expired" in kinds else "completed"
    return {
        "id": batch.batch_id,
        "object": "batch",
        "endpoint": "/v1/chat/completions",
        "completion_window": "24h",
        "input_file_id": batch.files["input"],
        "status": status,
        "created_at": int(batch.created),
        "metadata": dict(batch.metadata),
        "output_file_id": batch.files.get("output") if is_ended else None,
        "error_file_id": batch.files.get("errors") if is_ended else None,
        "errors": None,
        "request_counts": {
            "total": len(kinds),
            "completed": n_done if is_ended else 0,
            "failed": len(kinds) - n_done if is_ended else 0,
        },
    }


def _result_kind(given: Given) -> str:
    return "expired" if given.is_expired else "succeeded" if given.status == 200 else "errored"


def anthropic_results(results: Iterable[tuple[str, Any]]) -> bytes:
    """The lines of an ended batch."""
    lines: list[bytes] = []
    for number, (name, outcome) in enumerate(results):
        asked, given, used = outcome
        kind = _result_kind(given)
        result: dict[str, Any] = {"type": kind}
        if kind == "succeeded":
            result["message"] = reply(asked, given, used, number=number)
        elif kind == "errored":
            result["error"] = error("anthropic", given.status, given.text)
        lines.append(_line({"custom_id": name, "result": result}, given))
    return b"".join(lines)


def openai_results(results: Iterable[tuple[str, Any]], *, errors: bool) -> bytes:
    """The lines of a batch's output file, or of its error file."""
    lines: list[bytes] = []
    for number, (name, outcome) in enumerate(results):
        asked, given, used = outcome
        kind = _result_kind(given)
        if (kind != "succeeded") != errors:
            continue
        told: dict[str, Any] = {"id": f"batch_req_{number:06d}", "custom_id": name, "response": None, "error": None}
        if kind == "expired":
            told["error"] = {"code": "batch_expired", "message": "This request could not be executed before the window expired."}
        else:
            is_whole = kind == "succeeded"
            body = reply(asked, given, used, number=number) if is_whole else error("openai", given.status, given.text)
            told["response"] = {"status_code": given.status, "request_id": f"req_{number}", "body": body}
        lines.append(_line(told, given))
    return b"".join(lines)


def _line(told: Mapping[str, Any], given: Given) -> bytes:
    """One line of results; `given.raw` takes its place, as a damaged file would have it."""
    return (encoded(told) if given.raw is None else given.raw) + b"\n"


def encoded(told: Mapping[str, Any]) -> bytes:
    """JSON as providers send it: all characters as they are, among them some at which Python would split lines."""
    return json.dumps(told, ensure_ascii=False).encode("utf-8", "replace")


def simplest(asked: Asked) -> str:
    """The simplest answer to a question: a text that fits its schema."""
    return "fine" if asked.schema is None else json.dumps(example_of(asked.schema))


def example_of(schema: Mapping[str, Any], *, root: Mapping[str, Any] | None = None) -> Any:
    """The simplest value that a JSON schema allows, as pydantic writes them (no patterns)."""
    root = schema if root is None else root
    if "$ref" in schema:
        return example_of(root["$defs"][str(schema["$ref"]).rpartition("/")[2]], root=root)
    for name in ("const", "default"):
        if name in schema:
            return schema[name]
    if "enum" in schema:
        return schema["enum"][0]
    for name in ("anyOf", "oneOf", "allOf"):
        if name in schema:
            return example_of(schema[name][0], root=root)
    return _example_of_type(schema, root)


def _example_of_type(schema: Mapping[str, Any], root: Mapping[str, Any]) -> Any:
    match schema.get("type"):
        case "object":
            return {name: example_of(below, root=root) for name, below in schema.get("properties", {}).items()}
        case "array":
            below = schema.get("items", {"type": "string"})
            return [example_of(below, root=root) for _ in range(max(schema.get("minItems", 1), 1))]
        case "integer":
            return int(schema.get("minimum", schema.get("exclusiveMinimum", 0)))
        case "number":
            return float(schema.get("minimum", 0.5))
        case "boolean":
            return True
        case "null":
            return None
        case _:
            return "words".ljust(schema.get("minLength", 0), ".")
