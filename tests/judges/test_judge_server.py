"""The server that judges are tested by: its limits, its bill, and answers that fit any type."""

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any, Literal

import pytest
from pydantic import BaseModel, Field

from monoseme.testing import JudgeServer, Limits
from monoseme.testing.judge_server import example_of


class _Inner(BaseModel):
    kind: Literal["a", "b"]
    score: float


class _Deep(BaseModel):
    many: list[_Inner] = Field(min_length=2)
    one: _Inner | None
    count: int = Field(ge=3)
    words: str = Field(min_length=9)
    is_it: bool
    with_default: int = 7


def _post(server: JudgeServer, text: str, *, key: str = "a-key-for-tests") -> tuple[int, dict[str, Any], dict[str, str]]:
    body = {"model": "m", "max_tokens": 5, "messages": [{"role": "user", "content": text}]}
    request = urllib.request.Request(f"{server.anthropic_url}/v1/messages", json.dumps(body).encode(), {"x-api-key": key})
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request) as reply:
            return reply.status, json.loads(reply.read()), dict(reply.headers)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.loads(error.read()), dict(error.headers)


@pytest.fixture
def now() -> list[float]:
    return [1000.0]


@pytest.fixture
def server(now: list[float]) -> Iterator[JudgeServer]:
    with JudgeServer(clock=lambda: now[0]) as started:
        yield started


def test_an_answer_fits_any_type() -> None:
    found = _Deep.model_validate(example_of(_Deep.model_json_schema()))
    assert (len(found.many), found.count, found.with_default) == (2, 3, 7)


def test_what_passes_a_limit_is_refused_until_a_minute_has_passed(server: JudgeServer, now: list[float]) -> None:
    server.limits = Limits(requests=2, retry_after=7.0)
    assert [_post(server, "x")[0] for _ in range(3)] == [200, 200, 429]
    now[0] += 59.0
    status, told, headers = _post(server, "x")
    assert (status, told["error"]["type"], headers["retry-after"]) == (429, "rate_limit_error", "7")
    now[0] += 2.0
    assert _post(server, "x")[0] == 200
    assert len(server.charges) == 3


def test_tokens_are_limited_too(server: JudgeServer) -> None:
    server.limits = Limits(tokens=25)
    # 4 for the message and a quarter of the bytes
    assert [_post(server, "x" * 32)[0] for _ in range(3)] == [200, 200, 429]


def test_a_wrong_key_costs_nothing(server: JudgeServer) -> None:
    status, told, _ = _post(server, "x", key="wrong")
    assert (status, told["error"]["type"], server.charges) == (401, "authentication_error", [])


def test_output_is_charged_up_to_what_was_asked_for(server: JudgeServer) -> None:
    server.answer = lambda asked: "word " * 50
    _post(server, "x")
    assert server.charges[0].usage.output == 5


def test_a_server_is_as_new_after_a_reset(server: JudgeServer) -> None:
    server.limits, server.has_batches = Limits(requests=0), False
    _post(server, "x")
    server.reset()
    assert (server.requests, server.charges, server.has_batches) == ([], [], True)
    assert _post(server, "x")[0] == 200
