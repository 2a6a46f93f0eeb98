"""What the API says of itself: requests drawn from its schema, right ones and wrong ones, are answered as it says."""

import json
from collections.abc import Iterator
from typing import Any, cast

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

schemathesis = pytest.importorskip("schemathesis", reason="schemathesis is not installed")
hypothesis = pytest.importorskip("hypothesis", reason="hypothesis is not installed")

NAMES = {"run": ["tiny"], "sae": ["topk", "batchtopk"], "a": ["tiny:topk"], "b": ["tiny:batchtopk", "tiny:topk"]}
HERE = {"host": "127.0.0.1"}
# schemathesis itself asks `random` which fault to make.
pytestmark = pytest.mark.filterwarnings("ignore:Do not use the `random` module:hypothesis.errors.HypothesisDeprecationWarning")
_SECONDS = 300
"""For an answer. The first one loads the model."""


def test_the_schema_names_events_refusals_and_no_address_twice(client: TestClient) -> None:
    schema = client.get("/api/openapi.json").json()
    steer = schema["paths"]["/api/runs/{run}/steer"]["post"]["responses"]
    assert set(steer["200"]["content"]) == {"text/event-stream"}
    assert {"401", "403", "411", "413", "415", "421", "422", "429"} <= set(steer)
    named = [operation["operationId"] for path in schema["paths"].values() for operation in path.values()]
    assert len(set(named)) == len(named)


def test_requests_drawn_from_the_schema_are_answered_as_it_says(real: TestClient) -> None:
    _ask_all(cast(FastAPI, real.app), n_examples=1, without=("/map",))  # UMAP takes seconds to import


@pytest.mark.slow
def test_many_requests_drawn_from_the_schema_are_answered_as_it_says(real: TestClient) -> None:
    _ask_all(cast(FastAPI, real.app), n_examples=50)


def _ask_all(app: FastAPI, *, n_examples: int, without: tuple[str, ...] = ()) -> None:
    """As many right requests and as many wrong ones of each address."""
    schema = schemathesis.openapi.from_dict(_with_names(app))
    schema.app = app
    for found in schema.get_all_operations():
        operation = found.ok()
        if not any(part in operation.path for part in without):
            for mode in schemathesis.GenerationMode:
                _ask(operation, mode, n_examples)


def _ask(operation: Any, mode: Any, n_examples: int) -> None:
    from schemathesis.checks import not_a_server_error
    from schemathesis.specs.openapi import checks

    held = [
        not_a_server_error,
        checks.status_code_conformance,
        checks.content_type_conformance,
        checks.response_schema_conformance,
    ]

    @hypothesis.settings(
        max_examples=n_examples,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[hypothesis.Phase.generate],
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    @hypothesis.given(operation.as_strategy(generation_mode=mode))
    def asked(case: Any) -> None:
        case.validate_response(case.call(headers=HERE, timeout=_SECONDS), checks=held)

    try:
        asked()
    except hypothesis.errors.Unsatisfiable:
        assert mode is schemathesis.GenerationMode.NEGATIVE  # nothing about this address can be wrong


def _with_names(app: FastAPI) -> dict[str, Any]:
    """The schema with names that there are, and numbers that there may be: others get no further than a 404."""
    schema = json.loads(json.dumps(app.openapi()))
    for parameter in _parameters(schema):
        if parameter["name"] in NAMES:
            parameter["schema"] = {"type": "string", "enum": NAMES[parameter["name"]]}
        elif parameter["name"] == "index":
            parameter["schema"] = {"type": "integer", "minimum": 0, "maximum": 66}
    asked = schema["components"]["schemas"]
    for name in ("LatentAsked", "StrengthAsked"):
        asked[name]["properties"] |= {
            "sae": {"type": "string", "enum": NAMES["sae"]},
            "latent": {"type": "integer", "minimum": 0, "maximum": 66},
        }
    asked["SamplingAsked"]["properties"]["max_new_tokens"] = {"type": "integer", "minimum": 1, "maximum": 3}
    return schema


def _parameters(schema: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for path in schema["paths"].values():
        for operation in path.values():
            yield from operation.get("parameters", [])
