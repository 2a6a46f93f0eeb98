"""Batches of both providers over a real HTTP server: sent with a mark, looked at, collected, found again, paid once."""

from collections.abc import Iterator

import pytest
from pydantic import BaseModel

from monoseme.core.errors import JudgeError
from monoseme.judges import BatchJudge, Message, Question
from monoseme.judges._answers import read_reply
from monoseme.judges.anthropic import Anthropic
from monoseme.judges.openai import OpenAI
from monoseme.testing.judge_server import Asked, Given, JudgeServer

_KEY = "sk-test-0123456789abcdef"
_CREATED = 1_790_000_000.0


class _Told(BaseModel):
    word: str


@pytest.fixture(scope="module")
def running() -> Iterator[JudgeServer]:
    with JudgeServer(key=_KEY, clock=lambda: _CREATED) as started:
        yield started


@pytest.fixture
def server(running: JudgeServer) -> JudgeServer:
    running.reset()
    running.answer = _word_of
    return running


@pytest.fixture(scope="module")
def judges(running: JudgeServer) -> Iterator[dict[str, BatchJudge]]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ANTHROPIC_API_KEY", _KEY)
        patch.setenv("OPENAI_API_KEY", _KEY)
        yield {
            "anthropic": Anthropic(Anthropic.Config(model="a-model", base_url=running.anthropic_url, n_tries=3)),
            "openai": OpenAI(OpenAI.Config(model="a-model", base_url=running.openai_url, n_tries=3)),
        }


@pytest.fixture(params=["anthropic", "openai"])
def judge(request: pytest.FixtureRequest, judges: dict[str, BatchJudge], server: JudgeServer) -> BatchJudge:
    return judges[request.param]


def _word_of(asked: Asked) -> str:
    return f'{{"word": "{asked.last}"}}'


def _questions(*words: str) -> dict[str, Question]:
    return {f"q-{word}": Question(messages=(Message("user", word),), answer_type=_Told) for word in words}


def _path(judge: BatchJudge) -> str:
    return "/v1/messages/batches" if judge.plugin_name == "anthropic" else "/v1/batches"


@pytest.fixture(autouse=True)
def _named() -> None:
    Anthropic.plugin_name, OpenAI.plugin_name = "anthropic", "openai"


def test_a_batch_is_sent_looked_at_and_collected(server: JudgeServer, judge: BatchJudge) -> None:
    questions = _questions("five", "seven", "eleven")
    batch_id = judge.send(questions, mark="mark-1")
    assert judge.look(batch_id) == (False, 0, 3)
    assert judge.look(batch_id) == (True, 3, 3)
    replies = dict(judge.collect(batch_id))
    values = {name: read_reply(questions[name], reply).value for name, reply in replies.items()}
    assert values == {f"q-{word}": _Told(word=word) for word in ("five", "seven", "eleven")}
    assert sum(reply.input_tokens for reply in replies.values()) == sum(charge.usage.input for charge in server.charges)
    assert [charge.in_batch for charge in server.charges] == [True] * 3


def test_a_question_costs_the_same_alone_and_in_a_batch_but_for_the_discount(server: JudgeServer, judge: BatchJudge) -> None:
    [(name, question)] = _questions("five").items()
    judge.send({name: question}, mark="m")
    judge.answer(question)
    first, second = server.charges
    assert first.asked.fingerprint == second.asked.fingerprint
    assert server.times_charged[first.asked.fingerprint] == 2
    assert server.cost(per_input=1.0, per_output=1.0) == 1.5 * sum(second.usage)


def test_a_batch_is_found_again_by_its_time_and_mark(server: JudgeServer, judge: BatchJudge) -> None:
    first, second = judge.send(_questions("one"), mark="m-1"), judge.send(_questions("one", "two"), mark="m-2")
    found = judge.recent(_CREATED - 0.5)
    assert [(batch.batch_id, batch.n_questions) for batch in found] == [(second, 2), (first, 1)]
    assert all(batch.created == _CREATED for batch in found)
    # Anthropic keeps no marks.
    assert [batch.mark for batch in found] == ([None, None] if judge.plugin_name == "anthropic" else ["m-2", "m-1"])
    assert list(judge.recent(_CREATED + 5.0)) == []


def test_questions_that_expired_or_failed_say_so_and_cost_nothing(server: JudgeServer, judge: BatchJudge) -> None:
    given = {
        "late": Given(is_expired=True),
        "bad": Given(status=400, text=f"prompt is too long for {_KEY}"),
        "no": Given(text="I will not", stop="refusal"),
        "long": Given(text="and so on", stop="length"),
    }
    server.answer = lambda asked: given.get(asked.last) or _word_of(asked)
    batch_id = judge.send(_questions("five", *given), mark="m")
    assert [judge.look(batch_id).is_ended for _ in range(2)] == [False, True]
    replies = dict(judge.collect(batch_id))
    failures = {name: reply.failure for name, reply in replies.items()}
    assert failures["q-five"] is None
    assert "expired" in (failures["q-late"] or "")
    assert failures["q-bad"] == "refused by the provider: prompt is too long for [key]"
    assert (failures["q-no"] or "").startswith("refused: I will not")
    assert failures["q-long"] == "cut off at max_tokens"
    assert len(server.charges) == 3
    assert {name for name, reply in replies.items() if reply.input_tokens} == {"q-five", "q-no", "q-long"}


def test_lines_that_are_damaged_are_left_out_and_the_others_read(server: JudgeServer, judge: BatchJudge) -> None:
    damaged = [b"{broken", b"[1]", b'"text"', b'{"custom_id": 3}', b"\xff\xfe", b""]
    raws = {f"w{i}": Given(raw=raw) for i, raw in enumerate(damaged)}
    server.answer = lambda asked: raws.get(asked.last) or _word_of(asked)
    batch_id = judge.send(_questions("a\u2028b\x85c", *raws), mark="m")
    judge.look(batch_id)
    assert [name for name, _ in judge.collect(batch_id)] == ["q-a\u2028b\x85c"]


@pytest.mark.parametrize("line", [b'{"custom_id": "q-x"}', b'{"custom_id": "q-x", "result": 5, "response": "x", "error": [1]}'])
def test_results_of_unknown_form_are_failures(server: JudgeServer, judge: BatchJudge, line: bytes) -> None:
    server.answer = lambda asked: Given(raw=line)
    batch_id = judge.send(_questions("x"), mark="m")
    judge.look(batch_id)
    [(name, reply)] = judge.collect(batch_id)
    assert name == "q-x"
    assert reply.failure is not None


@pytest.mark.parametrize("given", [Given(status=500), Given(n_bytes=0), Given(raw=b"<html>")], ids=["500", "cut", "html"])
def test_a_batch_whose_reply_is_lost_is_not_sent_twice_and_is_found(server: JudgeServer, judge: BatchJudge, given: Given) -> None:
    server.then_at(_path(judge), given, is_done=True)
    with pytest.raises(JudgeError, match="not known whether batch m-7"):
        judge.send(_questions("one", "two"), mark="m-7")
    assert len(server.batches) == 1
    [found] = judge.recent(_CREATED - 1.0)
    judge.look(found.batch_id)
    assert len(dict(judge.collect(found.batch_id))) == 2
    assert set(server.times_charged.values()) == {1}


@pytest.mark.parametrize("status", [429, 529])
def test_a_batch_that_was_not_taken_is_sent_again(server: JudgeServer, judge: BatchJudge, status: int) -> None:
    server.then_at(_path(judge), Given(status=status, headers={"retry-after": "0"}), is_done=False)
    judge.send(_questions("one"), mark="m")
    assert len(server.batches) == len(server.charges) == 1


def test_results_that_break_off_can_be_collected_again(server: JudgeServer, judge: BatchJudge) -> None:
    batch_id = judge.send(_questions("one", "two"), mark="m")
    judge.look(batch_id)
    path = f"{_path(judge)}/{batch_id}/results" if judge.plugin_name == "anthropic" else "/v1/files/file-0001/content"
    server.then_at(path, Given(n_bytes=60), is_done=True)
    with pytest.raises(JudgeError, match=r"cannot be read[^\0]*same command"):
        list(judge.collect(batch_id))
    assert len(dict(judge.collect(batch_id))) == 2
    assert len(server.charges) == 2


def test_a_batch_that_openai_refuses_as_a_whole_fails_each_question(server: JudgeServer, judges: dict[str, BatchJudge]) -> None:
    judge = judges["openai"]
    batch_id = judge.send(_questions("one", "two"), mark="m")
    refused = (
        b'{"id": "b", "status": "failed", "input_file_id": "file-0000", "errors": {"data": [{"message": "over the limit"}]}}'
    )
    server.then_at(f"/v1/batches/{batch_id}", Given(raw=refused), is_done=True)
    replies = dict(judge.collect(batch_id))
    assert set(replies) == {"q-one", "q-two"}
    assert {reply.failure for reply in replies.values()} == {"the provider refused the whole batch: over the limit"}


def test_a_server_without_batches_says_what_to_do(server: JudgeServer, judge: BatchJudge) -> None:
    server.has_batches = False
    with pytest.raises(JudgeError, match="404"):
        judge.send(_questions("one"), mark="m")


def test_a_batch_whose_name_would_be_a_path_is_not_used(server: JudgeServer, judge: BatchJudge) -> None:
    server.then_at(_path(judge), Given(raw=b'{"id": "../files/file-0000"}'), is_done=True)
    with pytest.raises(JudgeError, match="names no batch"):
        judge.send(_questions("one"), mark="m")
