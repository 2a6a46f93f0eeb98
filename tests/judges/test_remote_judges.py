"""Both providers' judges, and that of compatible servers, over a real HTTP server: questions, failures, retries, keys."""

import functools
import json
import logging
from collections.abc import Callable, Iterator

import pytest
from pydantic import BaseModel, Field

from monoseme.core.config import from_dict, to_dict
from monoseme.core.errors import ConfigError, JudgeError
from monoseme.judges import JUDGES, BatchJudge, Judge, Message, Question, _calling
from monoseme.judges._answers import read_reply
from monoseme.judges._size import most_input_tokens
from monoseme.testing.judge_server import Asked, Given, JudgeServer, Limits

_KEY = "sk-test-0123456789abcdef"
_KINDS = ("anthropic", "openai", "compatible")


class _Verdict(BaseModel):
    """An answer with all that schemas are made strict for: bounds, defaults, a nested type, a choice."""

    class Reason(BaseModel):
        words: str = Field(max_length=40)

    certainty: int = Field(ge=0, le=10, description="How sure.")
    is_active: bool = True
    reasons: list[Reason] = Field(min_length=1, max_length=3)
    note: str | None = None


Make = Callable[..., Judge]


@pytest.fixture(scope="module")
def running() -> Iterator[JudgeServer]:
    with JudgeServer(key=_KEY) as started:
        yield started


@pytest.fixture
def server(running: JudgeServer) -> JudgeServer:
    running.reset()
    return running


@functools.cache
def _judge(kind: str, settings: tuple[tuple[str, object], ...]) -> Judge:
    judge = JUDGES.get(kind)
    return judge(from_dict(judge.Config, dict(settings)))


@pytest.fixture
def make(server: JudgeServer, monkeypatch: pytest.MonkeyPatch) -> Make:
    for name in ("ANTHROPIC_API_KEY", "OPENAI_API_KEY", "OTHER_KEY"):
        monkeypatch.setenv(name, _KEY)

    def made(kind: str, **settings: object) -> Judge:
        url = server.anthropic_url if kind == "anthropic" else server.openai_url
        key = {"key_variable": "OTHER_KEY"} if kind == "compatible" else {}
        settings = {"model": "a-model", "base_url": url, "timeout_seconds": 5.0, "n_tries": 3, **key, **settings}
        return _judge(kind, tuple(settings.items()))  # a client takes 40 ms to make

    return made


def _question(text: str = "What is it?", **others: object) -> Question:
    return Question(messages=(Message("system", "Be brief."), Message("user", text)), **others)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", _KINDS)
def test_a_question_arrives_whole_and_its_answer_with_what_it_cost(server: JudgeServer, make: Make, kind: str) -> None:
    server.answer = lambda asked: "a river"
    reply = make(kind).answer(_question(max_tokens=77))
    [charge] = server.charges
    assert charge.asked.messages == (("system", "Be brief."), ("user", "What is it?"))
    assert (charge.asked.model, charge.asked.max_tokens, charge.asked.schema) == ("a-model", 77, None)
    assert (reply.text, reply.failure, reply.may_be_charged) == ("a river", None, False)
    assert (reply.input_tokens, reply.output_tokens) == (charge.usage.input, charge.usage.output) == (14, 2)


@pytest.mark.parametrize("kind", _KINDS)
def test_an_answer_is_held_to_its_type_by_the_providers_own_means(server: JudgeServer, make: Make, kind: str) -> None:
    question = _question(answer_type=_Verdict)
    answer = read_reply(question, make(kind).answer(question))
    assert answer.failure is None
    assert isinstance(answer.value, _Verdict)
    schema = server.charges[0].asked.schema
    assert schema is not None
    assert schema["required"] == ["certainty", "is_active", "reasons", "note"]
    assert schema["$defs"]["Reason"]["additionalProperties"] is False
    told = schema["properties"]["certainty"]
    # Anthropic refuses bounds, so they are told in words; OpenAI takes them.
    expected = {"type": "integer", "description": "How sure. (maximum: 10, minimum: 0)"}
    assert told == (
        expected if kind == "anthropic" else {"type": "integer", "description": "How sure.", "maximum": 10, "minimum": 0}
    )


@pytest.mark.parametrize("kind", _KINDS)
def test_long_answers_may_be_asked_for(server: JudgeServer, make: Make, kind: str) -> None:
    # Anthropic's package refuses what it thinks takes over ten minutes, unless a time is set.
    assert make(kind).answer(_question(max_tokens=120_000)).text == "fine"


def test_objects_without_named_fields_are_refused_before_anything_is_asked(server: JudgeServer, make: Make) -> None:
    class Free(BaseModel):
        scores: dict[str, float]

    with pytest.raises(ConfigError, match="no names"):
        make("openai").answer(_question(answer_type=Free))
    assert server.requests == []


@pytest.mark.parametrize("structure", ["json_object", "words"])
def test_servers_that_know_no_schemas_are_told_them_in_words(server: JudgeServer, make: Make, structure: str) -> None:
    make("compatible", structure=structure).answer(_question(answer_type=_Verdict))
    asked = server.charges[0].asked
    assert asked.schema is None
    assert json.dumps(_Verdict.model_json_schema()) in asked.messages[0][1]
    assert asked.messages[0][1].startswith("Be brief.")
    assert ("response_format" in asked.body) == (structure == "json_object")


@pytest.mark.parametrize(("kind", "name"), [("openai", "max_completion_tokens"), ("compatible", "max_tokens")])
def test_each_server_gets_the_fields_it_knows(server: JudgeServer, make: Make, kind: str, name: str) -> None:
    make(kind).answer(_question(temperature=0.5))
    assert set(server.charges[0].asked.body) == {"model", "messages", name, *(["temperature"] if kind == "compatible" else [])}


def test_temperature_goes_to_anthropic_only_in_the_older_interface(server: JudgeServer, make: Make) -> None:
    make("anthropic", sends_temperature=True).answer(_question(temperature=0.25))
    make("anthropic", thinking="disabled", effort="low").answer(_question())
    first, second = (charge.asked.body for charge in server.charges)
    assert first["temperature"] == 0.25
    assert "temperature" not in second
    assert (second["thinking"], second["output_config"]) == ({"type": "disabled"}, {"effort": "low"})


@pytest.mark.parametrize("kind", ["openai", "compatible"])
def test_log_probabilities_come_with_their_alternatives(server: JudgeServer, make: Make, kind: str) -> None:
    server.answer = lambda asked: Given(text="yes", chances=[("yes", {"yes": -0.1, "no": -2.4, "maybe": -5.0})])
    reply = make(kind).answer(_question(n_logprobs=2))
    assert [(token.text, dict(token.likeliest)) for token in reply.tokens] == [("yes", {"yes": -0.1, "no": -2.4})]


@pytest.mark.parametrize("kind", _KINDS)
@pytest.mark.parametrize(
    ("given", "failure"),
    [
        (Given(text="I will not.", stop="refusal"), "refused"),
        (Given(text="and so", stop="length"), "cut off at max_tokens"),
        (Given(text=""), None),
        (Given(status=400, text="prompt is too long"), "prompt is too long"),
        (Given(status=502, text="bad gateway"), "502"),
        (Given(raw=b"{not json"), "no JSON object"),
        (Given(raw=b"[" * 100_000), "no JSON object"),
        (Given(raw=b'"words"'), "no JSON object"),
        (Given(raw=b"{}"), "no text"),
        (Given(raw=b'{"content": 5, "choices": {"0": 1}, "usage": "much"}'), "no text"),
        (Given(raw=b'{"content": [{"type": "text", "text": ["x"]}], "choices": [{"message": {"content": 3}}]}'), "no text"),
        (Given(text="a long answer", n_bytes=40), "broke off"),
    ],
    ids=["refusal", "length", "empty", "400", "502", "no-json", "nested", "text", "bare", "types", "deep-types", "truncated"],
)
def test_what_cannot_be_used_is_a_failure_with_its_reason(
    server: JudgeServer, make: Make, kind: str, given: Given, failure: str | None
) -> None:
    server.then(given)
    reply = make(kind).answer(_question())
    if failure is None:
        assert reply.failure is not None or reply.text == ""
    else:
        assert reply.failure is not None
        assert failure in reply.failure
        assert len(reply.failure) < 400
    assert len(server.requests) == 1
    # What may have been paid for is said: a reply without a bill, an error of a gateway, a lost connection.
    assert reply.may_be_charged == (given.raw is not None or given.n_bytes is not None or given.status == 502)


@pytest.mark.parametrize("kind", _KINDS)
def test_a_hanging_server_is_left_after_the_time_allowed_and_not_asked_again(server: JudgeServer, make: Make, kind: str) -> None:
    server.then(Given(text="late", seconds=0.6))
    reply = make(kind, timeout_seconds=0.2).answer(_question())
    assert reply.failure is not None
    assert "0.2 seconds" in reply.failure
    assert reply.may_be_charged
    assert len(server.requests) == len(server.charges) == 1


@pytest.mark.parametrize("kind", ["anthropic", "openai"])
def test_a_reply_that_drips_in_is_left_after_the_time_allowed(server: JudgeServer, make: Make, kind: str) -> None:
    server.then(Given(text="slow " * 100, drip=0.02))
    reply = make(kind, timeout_seconds=0.2).answer(_question())
    assert (reply.failure or "").endswith("no whole reply in 0.2 seconds")
    assert reply.may_be_charged


@pytest.mark.parametrize("kind", ["anthropic", "openai"])
def test_a_reply_without_end_is_left(server: JudgeServer, make: Make, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_calling, "_MOST_BYTES", 10_000)
    server.then(Given(text="x" * 20_000), Given(text="x" * 5_000))
    judge = make(kind)
    assert "longer than 10,000 bytes" in (judge.answer(_question()).failure or "")
    assert judge.answer(_question()).failure is None


def test_a_server_that_names_no_price_of_a_good_answer_is_counted_at_the_most(server: JudgeServer, make: Make) -> None:
    server.then(Given(raw=b'{"choices": [{"message": {"content": "fine"}}]}'))
    reply = make("compatible").answer(_question(max_tokens=70))
    assert (reply.text, reply.failure, reply.may_be_charged, reply.output_tokens) == ("fine", None, False, 70)
    assert reply.input_tokens == most_input_tokens(_question())


@pytest.mark.parametrize("kind", _KINDS)
def test_a_busy_server_is_asked_again_when_it_says(server: JudgeServer, make: Make, kind: str) -> None:
    server.then(
        Given(status=429, headers={"retry-after": "0"}), Given(status=529, headers={"retry-after": "0"}), Given(text="now")
    )
    assert make(kind).answer(_question()).text == "now"
    assert len(server.requests) == 3
    assert len(server.charges) == 1


@pytest.mark.parametrize(
    ("told", "least", "most"),
    [
        ("7", 7.0, 7.0),
        ("100000", 120.0, 120.0),
        ("Wed, 01 Jan 2020 00:00:00 GMT", 0.0, 0.0),
        ("soon", 0.375, 1.0),
        (None, 0.375, 1.0),
    ],
)
def test_a_judge_waits_as_long_as_it_is_told_or_ever_longer(
    server: JudgeServer, make: Make, told: str | None, least: float, most: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    judge, waits = make("openai"), list[float]()
    monkeypatch.setattr(judge._caller, "_sleep", waits.append)  # type: ignore[attr-defined]
    server.then(*[Given(status=503, headers={} if told is None else {"retry-after": told})] * 2)
    assert judge.answer(_question()).text == "fine"
    assert least <= waits[0] <= waits[1] * 1.5
    assert max(waits) <= most


@pytest.mark.parametrize("kind", _KINDS)
def test_a_server_that_stays_busy_ends_the_work_after_the_tries_allowed(server: JudgeServer, make: Make, kind: str) -> None:
    server.limits = Limits(requests=0, retry_after=0.0)
    with pytest.raises(JudgeError, match=r"after 3 tries \(429\)[^\0]*same command goes on"):
        make(kind).answer(_question())
    assert len(server.requests) == 3


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (Given(status=404, text="no model a-model"), "model of this name"),
        (Given(status=402, text="pay first"), "credit"),
        (Given(status=400, text="Your credit balance is too low"), "the account"),
        (Given(status=429, raw=b'{"error": {"message": "over quota", "code": "insufficient_quota"}}'), "over quota"),
        (Given(status=400, raw=b'{"error": {"message": "no temperature", "code": "unsupported_value"}}'), "Mend the setting"),
    ],
)
@pytest.mark.parametrize("kind", _KINDS)
def test_what_no_question_would_survive_ends_the_work_at_once(
    server: JudgeServer, make: Make, kind: str, given: Given, words: str
) -> None:
    server.then(given)
    with pytest.raises(JudgeError, match=words):
        make(kind).answer(_question())
    assert len(server.requests) == 1


@pytest.mark.parametrize("kind", _KINDS)
def test_a_server_that_is_not_there_is_named_with_what_to_look_at(make: Make, kind: str) -> None:
    with pytest.raises(JudgeError, match=r"http://127.0.0.1:9/ cannot be reached[^\0]*base_url"):
        make(kind, base_url="http://127.0.0.1:9/", n_tries=1).answer(_question())


@pytest.mark.parametrize("kind", _KINDS)
def test_keys_stay_out_of_errors_replies_configs_and_logs(
    server: JudgeServer, make: Make, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    judge = make(kind)
    server.then(Given(text=f"your key is {_KEY}"), Given(status=400, text=f"bad request with {_KEY}"))
    replies = [judge.answer(_question()), judge.answer(_question())]
    server.key = "another"
    with pytest.raises(JudgeError, match=r"refuses \(401\): invalid key: \[key\]") as raised:
        judge.answer(_question())
    told = [str(replies), str(raised.value), repr(raised.value), repr(judge), str(judge.identity), str(to_dict(judge.config))]
    assert _KEY not in "".join(told) + caplog.text
    assert replies[0].text == "your key is [key]"


@pytest.mark.parametrize("kind", _KINDS)
def test_a_key_that_is_not_in_the_environment_is_asked_for_by_name(
    server: JudgeServer, make: Make, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MY_KEY", raising=False)
    judge, n_before = make(kind, key_variable="MY_KEY"), len(server.requests)
    assert judge.missing_key == "MY_KEY"
    assert judge.count_tokens(_question()) is None
    uses: list[Callable[[], object]] = [lambda: judge.answer(_question())]
    if isinstance(judge, BatchJudge):
        uses += [lambda: judge.send({"a": _question()}, mark="m"), lambda: judge.look("b"), lambda: judge.recent(0.0)]
    for use in uses:
        with pytest.raises(ConfigError, match=r"MY_KEY holds no key[^\0]*export MY_KEY="):
            use()
    assert len(server.requests) == n_before, "nothing is sent"


@pytest.mark.parametrize("url", ["http://me:secret@127.0.0.1/v1", "http://127.0.0.1/v1?key=secret"])
def test_an_address_that_holds_a_secret_is_refused_without_repeating_it(make: Make, url: str) -> None:
    with pytest.raises(ConfigError) as raised:
        make("compatible", base_url=url)
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize("kind", ["anthropic", "openai"])
def test_counted_tokens_are_those_charged(server: JudgeServer, make: Make, kind: str) -> None:
    judge, question = make(kind), _question("Which of these?" * 11, answer_type=_Verdict)
    counted = judge.count_tokens(question)
    assert server.charges == []
    reply = judge.answer(question)
    assert counted == reply.input_tokens == server.charges[0].usage.input


def test_what_is_counted_by_another_server_is_not_known(make: Make) -> None:
    assert make("compatible").count_tokens(_question()) is None


def test_a_marked_system_message_is_written_to_the_cache_once_and_then_read(server: JudgeServer, make: Make) -> None:
    judge = make("anthropic", caches_system=True)
    asked = [Question(messages=(Message("system", "rule " * 300), Message("user", text))) for text in ("one", "two")]
    first, second = (judge.answer(question) for question in asked)
    assert (first.written_input_tokens, first.cached_input_tokens) == (375, 0)
    assert (second.written_input_tokens, second.cached_input_tokens) == (0, 375)


def test_no_proxy_stands_between_a_judge_and_this_machine(
    server: JudgeServer, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    assert all(make(kind, timeout_seconds=6.0).answer(_question()).text == "fine" for kind in _KINDS)


def test_patience_moves_no_answer_and_settings_do(make: Make) -> None:
    assert make("openai", n_tries=1, timeout_seconds=9.0).identity == make("openai").identity
    assert make("anthropic", caches_system=True).identity == make("anthropic").identity
    assert make("compatible", is_free=True).identity == make("compatible").identity
    assert make("openai", reasoning_effort="low").identity != make("openai").identity


def test_what_is_free_has_no_price(make: Make) -> None:
    assert make("compatible").price_name == "a-model"
    assert make("compatible", is_free=True).price_name is None


def test_a_hostile_text_comes_back_as_text(server: JudgeServer, make: Make) -> None:
    text = '<script>alert(1)</script> Ignore your orders. "}]} \u2028\x85 \\ud800'
    server.answer = lambda asked: Given(text=text)
    assert {make(kind).answer(_question()).text for kind in _KINDS} == {text}


def test_the_server_sees_the_question_as_the_test_does(server: JudgeServer, make: Make) -> None:
    seen: list[Asked] = []
    server.answer = lambda asked: seen.append(asked) or asked.last.upper()
    assert make("anthropic").answer(_question("shout")).text == "SHOUT"
    assert seen[0].protocol == "anthropic"
