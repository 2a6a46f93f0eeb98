"""The desk without batches: order, answers kept, failures, errors without keys, several at a time, stopping."""

import os
import signal
import threading
import time
from pathlib import Path

import pytest
from tests.judges.judge_fakes import PRICES, FolderJudge, Verdict, ask, asked

from monoseme.core.errors import ArtifactDamagedError, ArtifactExistsError, ConfigError, Interrupted, JudgeError
from monoseme.judges import Desk, DeskSettings, Judge, Reply, TokenChance

_SECRET = "sk-very-secret-0123456789"


@pytest.fixture
def judge(tmp_path: Path) -> FolderJudge:
    return FolderJudge(FolderJudge.Config(home=str(tmp_path)))


def _desk(judge: Judge, tmp_path: Path, **settings: object) -> Desk:
    return Desk(judge, tmp_path / "asked", settings=DeskSettings(**settings))


def test_answers_come_in_the_order_of_their_questions(judge: FolderJudge, tmp_path: Path) -> None:
    judge.seconds = 0.002
    answers = list(_desk(judge, tmp_path, concurrency=5).answers(asked(37)))
    assert [answer.text for answer in answers] == [f"echo: question {n}" for n in range(37)]
    assert 1 < judge.most_at_once <= 5


def test_a_second_desk_pays_nothing_for_what_was_answered(judge: FolderJudge, tmp_path: Path) -> None:
    list(_desk(judge, tmp_path).answers(asked(7)))
    desk = _desk(judge, tmp_path)
    answers = list(desk.answers(asked(11)))
    assert [answer.is_kept for answer in answers] == [True] * 7 + [False] * 4
    assert sorted(judge.paid()) == sorted(f"question {n}" for n in range(11))
    assert (desk.report().n_asked, desk.report().n_kept) == (4, 7)


def test_equal_questions_are_asked_once(judge: FolderJudge, tmp_path: Path) -> None:
    answers = list(_desk(judge, tmp_path, concurrency=3).answers([ask(n % 3) for n in range(23)]))
    assert [answer.text for answer in answers] == [f"echo: question {n % 3}" for n in range(23)]
    assert len(judge.paid()) == 3
    assert sum(not answer.is_kept for answer in answers) == 3


def test_questions_are_read_as_they_are_needed(judge: FolderJudge, tmp_path: Path) -> None:
    endless = (ask(n) for n in iter(int, 1))  # one question for ever
    answers = _desk(judge, tmp_path).answers(endless)
    assert next(answers).text == next(answers).text == "echo: question 0"
    answers.close()


def test_another_model_is_asked_again(judge: FolderJudge, tmp_path: Path) -> None:
    other = FolderJudge(FolderJudge.Config(home=str(tmp_path), model="m-11"))
    for one in (judge, other):
        list(_desk(one, tmp_path).answers(asked(2)))
    assert len(judge.paid()) == 4


@pytest.mark.parametrize("text", ["no JSON", '{"score": "high"}', "[" * 100_000, '{"score": 1', "\ud800"])
def test_an_answer_of_the_wrong_form_is_a_failure_that_is_kept(judge: FolderJudge, tmp_path: Path, text: str) -> None:
    judge.special["question 3"] = Reply(text=text, input_tokens=5, output_tokens=2)
    for is_kept in (False, True):
        (answer,) = _desk(judge, tmp_path).answers([ask(3, answer_type=Verdict)])
        assert answer.value is None
        assert "not what was asked for" in (answer.failure or "")
        assert answer.is_kept is is_kept


def test_a_useless_answer_is_asked_again_once_where_that_is_wanted(judge: FolderJudge, tmp_path: Path) -> None:
    question = ask(3, answer_type=Verdict)
    judge.special["question 3"] = Reply(text="no JSON", input_tokens=5)
    list(_desk(judge, tmp_path).answers([question]))
    assert [a.failure is not None for a in _desk(judge, tmp_path, again=True).answers([question, question])] == [True, True]
    assert len(judge.paid()) == 2
    judge.special["question 3"] = Reply(text='{"score": 4}', input_tokens=5)
    (answer,) = _desk(judge, tmp_path, again=True).answers([question])
    assert answer.value == Verdict(score=4)
    assert [a.is_kept for a in _desk(judge, tmp_path, again=True).answers([question])] == [True]


def test_a_failure_that_cost_nothing_is_not_kept(judge: FolderJudge, tmp_path: Path) -> None:
    judge.special["question 0"] = Reply(text=None, failure="overloaded")
    desk = _desk(judge, tmp_path)
    assert [answer.failure for answer in desk.answers([ask(0)])] == ["overloaded"]
    assert desk.report().n_open == 0
    judge.special.clear()
    assert [answer.text for answer in desk.answers([ask(0)])] == ["echo: question 0"]


def test_log_probabilities_are_kept_and_those_of_nought_are_finite(judge: FolderJudge, tmp_path: Path) -> None:
    chance = TokenChance("a", {"a": -0.5, "b": float("-inf")})
    judge.special["question 0"] = Reply(text="a", input_tokens=1, tokens=(chance,))
    for _ in range(2):
        (answer,) = _desk(judge, tmp_path).answers([ask(0)])
        assert answer.reply is not None
        assert answer.reply.tokens == (TokenChance("a", {"a": -0.5, "b": -1e4}),)


def test_an_answer_without_end_is_cut_and_is_a_failure(judge: FolderJudge, tmp_path: Path) -> None:
    judge.special["question 0"] = Reply(text="x" * 3_000_000, input_tokens=1)
    (answer,) = _desk(judge, tmp_path).answers([ask(0)])
    assert answer.failure == "the answer has 3,000,000 characters"
    assert len(answer.text or "") == 1_000_000


def test_no_key_reaches_the_ledger_an_answer_or_an_error(
    judge: FolderJudge, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOME_API_KEY", _SECRET)
    judge.special["question 0"] = Reply(text=f"my key is {_SECRET}", input_tokens=1)
    (answer,) = _desk(judge, tmp_path).answers([ask(0)])
    assert answer.text == "my key is [secret]"
    assert _SECRET not in (tmp_path / "asked" / "ledger.jsonl").read_text()
    judge.special["question 1"] = JudgeError(f"401 for {_SECRET}, or for sk-another-0123456789")
    judge.special["question 1"].__cause__ = ValueError(f"header {_SECRET}")
    with pytest.raises(JudgeError) as caught:
        list(_desk(judge, tmp_path).answers([ask(1)]))
    assert str(caught.value) == "401 for [secret], or for [secret]"
    assert str(caught.value.__cause__) == "header [secret]"


def test_a_judge_that_refuses_all_is_asked_once(judge: FolderJudge, tmp_path: Path) -> None:
    judge.seconds = 0.02  # long enough for others to be sent meanwhile
    for n in range(20):
        judge.special[f"question {n}"] = JudgeError("wrong key")
    desk = _desk(judge, tmp_path, concurrency=7)
    with pytest.raises(JudgeError, match="wrong key"):
        list(desk.answers(asked(20)))
    assert judge.most_at_once == 1
    assert desk.report().n_open == 0


def test_what_is_on_its_way_when_another_fails_is_kept(judge: FolderJudge, tmp_path: Path) -> None:
    judge.seconds = 0.02
    judge.special["question 5"] = JudgeError("no credit")
    with pytest.raises(JudgeError, match="no credit"):
        list(_desk(judge, tmp_path, concurrency=6).answers(asked(20)))
    paid = judge.paid()
    judge.special.clear()
    assert len(list(_desk(judge, tmp_path).answers(asked(20)))) == 20
    assert len(judge.paid()) == 20
    assert len(paid) >= 5


def test_a_reply_that_may_be_charged_is_asked_again_and_counts(judge: FolderJudge, tmp_path: Path) -> None:
    (tmp_path / "p.toml").write_text(PRICES)
    judge.special["question 0"] = Reply(text=None, failure="timed out", may_be_charged=True)
    desk = _desk(judge, tmp_path, prices=tmp_path / "p.toml")
    assert [answer.failure for answer in desk.answers([ask(0)])] == ["timed out"]
    assert desk.report().n_open == 1
    assert desk.report().open_cost > 0.0
    judge.special.clear()
    assert [answer.failure for answer in desk.answers([ask(0)])] == [None]
    assert desk.report().n_open == 1


def test_an_iterator_that_is_left_early_loses_nothing_that_was_paid(judge: FolderJudge, tmp_path: Path) -> None:
    judge.seconds = 0.01
    desk = _desk(judge, tmp_path, concurrency=4)
    answers = desk.answers(asked(30))
    next(answers)
    next(answers)
    answers.close()
    n_paid = len(judge.paid())
    assert 2 <= n_paid < 30
    assert len(list(_desk(judge, tmp_path).answers(asked(30)))) == 30
    assert len(judge.paid()) == 30


def test_two_iterators_of_one_desk_share_its_folder(judge: FolderJudge, tmp_path: Path) -> None:
    desk = _desk(judge, tmp_path)
    pairs = list(zip(desk.answers(asked(9)), desk.answers(asked(9)), strict=True))
    assert all(one.text == other.text for one, other in pairs)
    assert not (tmp_path / "asked" / ".writer.lock").exists()


def test_two_desks_do_not_ask_for_one_folder_at_once(judge: FolderJudge, tmp_path: Path) -> None:
    answers = _desk(judge, tmp_path).answers(asked(3))
    next(answers)
    with pytest.raises(ArtifactExistsError, match="two could not keep one budget"):
        next(_desk(judge, tmp_path).answers(asked(3)))
    answers.close()
    next(_desk(judge, tmp_path).answers(asked(3)))


def test_control_c_waits_for_what_is_paid_and_the_same_questions_go_on(judge: FolderJudge, tmp_path: Path) -> None:
    judge.seconds = 0.05
    timer = threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    with pytest.raises(Interrupted, match="the same command goes on") as caught:
        list(_desk(judge, tmp_path, concurrency=3).answers(asked(200)))
    assert caught.value.exit_code == 130
    judge.seconds = 0.0
    assert len(list(_desk(judge, tmp_path).answers(asked(50)))) == 50
    assert len(judge.paid()) == len(set(judge.paid()))


def test_rates_hold_questions_back(judge: FolderJudge, tmp_path: Path) -> None:
    begin = time.monotonic()
    list(_desk(judge, tmp_path, requests_per_minute=600).answers(asked(63)))  # 60 at once, then one in 0.1 s
    assert time.monotonic() - begin >= 0.29


def test_a_line_that_a_kill_cut_short_is_passed_over(judge: FolderJudge, tmp_path: Path) -> None:
    list(_desk(judge, tmp_path).answers(asked(3)))
    path = tmp_path / "asked" / "ledger.jsonl"
    whole = path.read_bytes()
    path.write_bytes(whole[:-7])
    assert [answer.is_kept for answer in _desk(judge, tmp_path).answers(asked(3))].count(True) == 2
    assert path.read_bytes().startswith(whole[: whole[:-1].rindex(b"\n") + 1])
    assert all(answer.is_kept for answer in _desk(judge, tmp_path).answers(asked(3)))


def test_a_damaged_line_is_named(judge: FolderJudge, tmp_path: Path) -> None:
    list(_desk(judge, tmp_path).answers(asked(3)))
    path = tmp_path / "asked" / "ledger.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([lines[0], b"{}\n", *lines[1:]]))
    with pytest.raises(ArtifactDamagedError, match="line 2 of"):
        list(_desk(judge, tmp_path).answers(asked(3)))


@pytest.mark.parametrize(
    "settings",
    [
        {"budget": 0.0},
        {"budget": float("nan")},
        {"budget": float("inf")},
        {"concurrency": 0},
        {"requests_per_minute": -1.0},
        {"poll_seconds": float("nan")},
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=r"desk\."):
        DeskSettings(**settings)
