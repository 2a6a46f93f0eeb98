"""Steering over HTTP: what is offered, the events of a text, the command that repeats it, what is refused."""

import asyncio
import contextlib
import io
import json
import shlex
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from pydantic import ValidationError
from starlette.testclient import TestClient

from monoseme.cli.main import main
from monoseme.core.errors import ModelNotFoundError
from monoseme.models import LanguageModel, ModelConfig
from monoseme.web import create_app
from monoseme.web.steer._writing import SteerWriting
from monoseme.web.steer.answers import Event
from monoseme.web.steer.asked import LIMITS, SteerAsked
from monoseme.web.worker import EventStream, ModelWorker

from .fake_run import HOSTILE

STEER = "/api/runs/tiny/steer"
PROMPTS = ["Once upon a time", 'The "dog"']


class Told(NamedTuple):
    """The events of one answer."""

    events: list[tuple[str, dict[str, Any]]]

    def of(self, name: str) -> list[dict[str, Any]]:
        return [data for event, data in self.events if event == name]

    @property
    def last(self) -> str:
        return self.events[-1][0]

    def texts(self, arm: str) -> list[str]:
        return [data["text"] for data in sorted(self.of("ended"), key=lambda data: data["row"]) if data["arm"] == arm]


def told(client: TestClient, **asked: Any) -> Told:
    answer = client.post(STEER, json=asked)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("text/event-stream")
    return Told(list(_parsed(answer.text)))


def _parsed(text: str) -> Iterator[tuple[str, dict[str, Any]]]:
    for block in text.split("\n\n"):
        if block.startswith("event: "):
            name, data = block.split("\n")
            yield name.removeprefix("event: "), json.loads(data.removeprefix("data: "))


def _replayed(command: str) -> dict[str, Any]:
    verb, *words = shlex.split(command)[1:]
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        assert main([verb, "--json", *words]) == 0
    return json.loads(out.getvalue().splitlines()[-1])


@pytest.fixture(scope="module")
def latent(real: TestClient) -> int:
    """The one that fires most strongly."""
    table = real.get("/api/runs/tiny/saes/topk/latents", params={"sort": "max", "order": "descending", "limit": 1})
    return table.json()["rows"][0]["index"]


@pytest.fixture(scope="module")
def steered(real: TestClient, latent: int) -> Told:
    """Two prompts in both arms, sampled with a seed of the server's, a latent of another SAE watched."""
    watch = [{"sae": "topk", "latent": latent}, {"sae": "batchtopk", "latent": 3}]
    sampling = {"max_new_tokens": 7, "temperature": 0.8, "top_p": 0.95, "seed": None}
    latents = [{"sae": "topk", "latent": latent, "strength": 1.5, "unit": "max"}]
    return told(real, prompts=PROMPTS, latents=latents, watch=watch, sampling=sampling)


def test_what_is_offered_is_what_there_is(real: TestClient) -> None:
    offered = real.get(STEER).json()
    assert {(sae["key"], sae["site"], sae["n_latents"], sae["why_not"], sae["has_maxima"]) for sae in offered["saes"]} == {
        ("topk", "resid_post.1", 67, None, True),
        ("batchtopk", "resid_post.1", 67, None, True),
    }
    methods = {method["name"]: method for method in offered["methods"]}
    assert methods["additive"]["needs_latents"]
    assert not methods["prompt"]["needs_latents"]
    assert methods["swap"]["units"] == ["raw"]
    (option,) = methods["clamp"]["options"]
    assert (option["name"], option["type"], option["default"]) == ("error_term", "switch", True)
    assert option["help"]
    assert offered["limits"]["max_prompts"] == LIMITS.max_prompts
    assert (offered["has_chat_template"], offered["why_no_model"]) == (False, None)


def test_every_token_and_value_of_both_arms_is_told_once(steered: Told, latent: int) -> None:
    (started,) = steered.of("started")
    names = [f"topk:{latent}", "batchtopk:3"]
    assert started["watched"] == names
    assert [event for event, _ in steered.events[:2]] == ["queued", "started"]
    assert steered.last == "done"
    for prompt in started["prompts"]:
        here = (prompt["arm"], prompt["row"])
        assert prompt["tokens"][0] == "<s>"
        new = [data for data in steered.of("token") if (data["arm"], data["row"]) == here]
        n_prompt, n_all = len(prompt["tokens"]), len(prompt["tokens"]) + len(new)
        assert [data["place"] for data in new] == list(range(n_prompt, n_all))
        values = [data for data in steered.of("values") if (data["arm"], data["row"]) == here]
        for name in names:
            assert [data["place"] for data in values if name in data["values"]] == list(range(1, n_all))  # none on <s>
        (ended,) = [data for data in steered.of("ended") if (data["arm"], data["row"]) == here]
        assert "".join(data["text"] for data in new) == ended["text"]
        assert (ended["is_ended"], ended["reason"]) == (False, "length")
    (done,) = steered.of("done")
    assert done["n_tokens"] == len(steered.of("token")) == 4 * 7


def test_the_command_that_is_told_writes_the_same_tokens_and_values(steered: Told, latent: int) -> None:
    (started,) = steered.of("started")
    again = _replayed(started["replay"])
    for row, texts in enumerate(again["texts"]):
        assert texts["prompt"] == PROMPTS[row]
        for arm in started["arms"]:
            told_tokens = [data["token"] for data in steered.of("token") if (data["arm"], data["row"]) == (arm, row)]
            assert texts[arm]["tokens"][texts[arm]["n_prompt_tokens"] :] == told_tokens
            for data in steered.of("values"):
                if (data["arm"], data["row"]) == (arm, row):
                    for name, value in data["values"].items():
                        # Rows of a float32 product depend on the batch's shape, so the last bits may differ.
                        assert texts[arm]["values"][name][data["place"]] == pytest.approx(value, rel=1e-3, abs=1e-3)
    assert steered.texts("default") != steered.texts("steered")


@pytest.mark.parametrize(
    "steering",
    [
        {"method": "clamp", "options": {"error_term": False}, "conditions": {"only": "generated"}},
        {"method": "h_bias", "conditions": {"from_position": 3}},
        {"method": "additive", "conditions": {"only": "prompt", "while_fires": {"sae": "batchtopk", "latent": 5}}},
        {"method": "prompt", "options": {"instruction": "-Say it: "}, "latents": []},
    ],
    ids=lambda steering: steering["method"],
)
def test_methods_and_conditions_are_those_of_the_command(real: TestClient, latent: int, steering: dict[str, Any]) -> None:
    latents = [{"sae": "topk", "latent": latent, "strength": 2, "unit": "raw"}]
    got = told(
        real, **{"prompts": ["-- She 'said' $HOME\n\tno"], "latents": latents, "sampling": {"max_new_tokens": 4}, **steering}
    )
    again = _replayed(got.of("started")[0]["replay"])["texts"][0]
    for arm in ("default", "steered"):
        assert [again[arm]["text"]] == got.texts(arm)


def test_a_strength_of_zero_writes_what_the_default_writes(real: TestClient, latent: int) -> None:
    latents = [{"sae": "topk", "latent": latent, "strength": 0}]
    got = told(real, prompts=PROMPTS, latents=latents, sampling={"max_new_tokens": 6, "temperature": 1.0, "seed": 4})
    assert got.texts("default") == got.texts("steered")


def test_a_chat_goes_on_in_each_arm_with_its_own_answers(real: TestClient, latent: int) -> None:
    latents = [{"sae": "topk", "latent": latent, "strength": 2}]
    sampling = {"max_new_tokens": 5, "temperature": 0.5, "seed": 3}
    said = {"role": "user", "content": "Hello there."}
    first = told(real, chat={"system": "Be kind.", "turns": [said]}, latents=latents, sampling=sampling)
    turns = {
        arm: [said, {"role": "assistant", "content": first.texts(arm)[0]}, {"role": "user", "content": "Tell me more."}]
        for arm in ("default", "steered")
    }
    chat = {"system": "Be kind.", "turns": turns["default"], "steered_turns": turns["steered"]}
    second = told(real, chat=chat, latents=latents, sampling=sampling)
    again = _replayed(second.of("started")[0]["replay"])["turns"]
    for arm in ("default", "steered"):
        assert [turn[arm]["text"].strip() for turn in again] == [*first.texts(arm), *second.texts(arm)]


@pytest.mark.parametrize(
    ("asked", "status", "words"),
    [
        ({}, 422, "give prompts, or a chat"),
        ({"prompts": ["a"], "chat": {"turns": [{"role": "user", "content": "b"}]}}, 422, "not both"),
        ({"chat": {"turns": [{"role": "assistant", "content": "b"}]}}, 422, "the last turn"),
        ({"prompts": ["a"]}, 422, "nothing to steer with"),
        ({"prompts": ["a"], "latents": [{"sae": "topc", "latent": 1, "strength": 1}]}, 404, "Did you mean"),
        ({"prompts": ["a"], "latents": [{"sae": "topk", "latent": 67, "strength": 1}]}, 404, "no latent 67"),
        ({"prompts": ["a"], "latents": [{"sae": "../x", "latent": 1, "strength": 1}]}, 404, "no SAE"),
        ({"prompts": ["a"], "latents": [{"sae": "topk", "latent": 1, "strength": 1}] * 2}, 422, "twice"),
        ({"prompts": ["a"], "latents": [{"sae": "topk", "latent": 1, "strength": 1e9}]}, 422, "strength"),
        ({"prompts": ["a"], "latents": [{"sae": "topk", "latent": 1, "strength": 1}], "method": "push"}, 422, "push"),
        (
            {"prompts": ["a"], "latents": [{"sae": "topk", "latent": 1, "strength": 1}], "method": "swap"},
            422,
            "no strength in max",
        ),
        ({"prompts": ["a"], "latents": [{"sae": "topk", "latent": 1, "strength": 1}], "options": {"x": 1}}, 422, "no setting"),
        ({"prompts": ["a"] * 9, "arms": ["default"]}, 422, "prompts"),
        ({"prompts": ["a" * 30_000], "arms": ["default"]}, 422, "prompts"),
        ({"prompts": ["a"], "arms": []}, 422, "arms"),
        ({"prompts": ["a"], "arms": ["default"] * 2}, 422, "arms"),
        ({"prompts": ["a"], "arms": ["default"], "sampling": {"max_new_tokens": 100_000}}, 422, "max_new_tokens"),
        ({"prompts": ["a"], "arms": ["default"], "sampling": {"top_p": 0}}, 422, "top_p"),
        ({"prompts": ["a"], "arms": ["default"], "colour": "red"}, 422, "colour"),
        ({"prompts": ["\ud800"], "arms": ["default"]}, 422, "prompts"),
    ],
)
def test_what_cannot_be_written_is_refused_with_what_is_allowed(
    real: TestClient, asked: dict[str, Any], status: int, words: str
) -> None:
    answer = real.post(STEER, content=json.dumps(asked), headers={"content-type": "application/json"})
    assert (answer.status_code, words in answer.text) == (status, True), answer.text
    assert set(answer.json()) == {"error", "hint"}


@pytest.mark.parametrize("number", ["NaN", "Infinity", "1e999"])
def test_numbers_that_are_none_are_refused(real: TestClient, number: str) -> None:
    asked = f'{{"prompts": ["a"], "latents": [{{"sae": "topk", "latent": 1, "strength": {number}}}]}}'
    assert real.post(STEER, content=asked, headers={"content-type": "application/json"}).status_code == 422


def test_what_only_the_model_can_tell_ends_the_stream_with_a_reason(real: TestClient) -> None:
    long = told(real, prompts=["dog " * 1000], arms=["default"], sampling={"max_new_tokens": 3})
    assert long.last == "failed"
    assert "too long" in long.of("failed")[0]["error"]
    full = told(real, prompts=["dog"], arms=["default"], sampling={"max_new_tokens": 512})
    assert "more are asked for" in full.of("failed")[0]["error"]


def test_markup_control_characters_and_marks_stay_text(real: TestClient) -> None:
    text = f"{HOSTILE} \x00\x07 \u202eright to left\u2028 event: done\ndata: {{}}\n\n"
    got = told(real, prompts=[text], arms=["default"], sampling={"max_new_tokens": 2})
    assert got.last == "done"
    assert len(got.of("done")) == 1
    tokens = got.of("started")[0]["prompts"][0]["tokens"]
    assert "<script>" in "".join(tokens) or "<" in "".join(tokens)
    assert shlex.split(got.of("started")[0]["replay"])[-1] == text


def test_without_a_model_the_page_says_so_and_texts_end_with_the_reason(run_folder: Path) -> None:
    def gone(config: ModelConfig) -> LanguageModel:
        raise ModelNotFoundError(f"no model at {config.model}\n  Give its folder.")

    client = TestClient(create_app([run_folder], model_loader=gone), base_url="http://127.0.0.1")
    offered = client.get(STEER).json()
    assert offered["has_chat_template"] is None
    assert "no model at bundled" in offered["why_no_model"]
    got = told(client, prompts=["a"], arms=["default"])
    assert "no model at bundled" in got.of("failed")[0]["error"]
    assert got.of("failed")[0]["hint"] == "Give its folder."


def _worker(client: TestClient) -> ModelWorker:
    (run,) = client.app.state.library
    return run.worker


def test_too_many_requests_of_one_page_are_told_when_to_come_again(real: TestClient) -> None:
    slots = _worker(real)._slots
    with contextlib.ExitStack() as open_requests:
        for _ in range(12):
            open_requests.enter_context(slots.taken("testclient one"))
        answer = real.post(STEER, json={"prompts": ["a"], "arms": ["default"]}, headers={"x-monoseme-tab": "one"})
        assert (answer.status_code, answer.headers["retry-after"]) == (429, "2")
        assert "stop one" in answer.json()["hint"]
        told(real, prompts=["a"], arms=["default"], sampling={"max_new_tokens": 1})  # another page


def test_a_client_that_goes_ends_the_work_and_frees_its_place(real: TestClient) -> None:
    body = json.dumps({"prompts": ["Once"], "arms": ["default"], "sampling": {"max_new_tokens": 400}}).encode()
    chunks: list[bytes] = []

    async def ask() -> None:
        gone = asyncio.Event()
        first = iter([{"type": "http.request", "body": body, "more_body": False}])

        async def receive() -> dict[str, Any]:
            message = next(first, None)
            if message is None:
                await gone.wait()
                return {"type": "http.disconnect"}
            return message

        async def send(message: Any) -> None:
            chunks.append(message.get("body", b""))
            if b"event: token" in chunks[-1]:
                gone.set()

        headers = [(b"host", b"127.0.0.1:8321"), (b"content-type", b"application/json")]
        scope = {"type": "http", "method": "POST", "path": STEER, "query_string": b"", "headers": headers, "client": ("here", 1)}
        await asyncio.wait_for(real.app({**scope, "asgi": {"version": "3.0"}, "http_version": "1.1"}, receive, send), 30)

    asyncio.run(ask())
    written = b"".join(chunks)
    assert written.count(b"event: token") < 400
    assert b"event: done" not in written
    told(real, prompts=["a"], arms=["default"], sampling={"max_new_tokens": 1})  # a step passes
    worker = _worker(real)
    # The last event of a text is on its way before the step that wrote it has ended.
    deadline = time.monotonic() + 60
    while len(worker._desk) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert len(worker._desk) == 0
    assert not worker._slots._taken


def test_a_page_that_reads_too_slowly_is_told_and_its_text_ends() -> None:
    async def write() -> tuple[list[Event], bool]:
        stream: EventStream[Event] = EventStream(most_unread=2)
        asked = SteerAsked(prompts=["a"], arms=["default"])
        writing = SteerWriting(asked, None, stream)  # pyright: ignore[reportArgumentType] - waits asks for no run
        for n_ahead in (5, 4, 4, 3, 2):
            writing.waits(n_ahead)
        return [event async for events in stream.batches() for event in events], writing.is_cancelled

    events, is_cancelled = asyncio.run(write())
    assert [event.event for event in events] == ["queued", "queued", "failed"]
    assert is_cancelled


@pytest.mark.parametrize(
    "settings", ['{"a": NaN}', '{"a": 1e999}', '{"a": [1]}', '{"a": null}', '{"a": "\\ud800"}', '{"\\ud800": 1}']
)
def test_a_setting_is_one_plain_value(settings: str) -> None:
    with pytest.raises(ValidationError):
        SteerAsked(prompts=["x"], options=json.loads(settings))
