"""Batches at the desk: found again after a kill at any step, within the budget, and nothing paid twice."""

import os
import signal
import threading
from pathlib import Path

import pytest
from tests.judges.judge_fakes import PRICES, FolderBatchJudge, FolderJudge, ask, asked
from tests.judges.killing import killed_until_done

from monoseme.core.errors import BudgetError, ConfigError, Interrupted, JudgeError
from monoseme.judges import Desk, DeskSettings, Reply, SentBatch


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "prices.toml").write_text(PRICES)
    return tmp_path


def _judge(home: Path, **config: object) -> FolderBatchJudge:
    return FolderBatchJudge(FolderBatchJudge.Config(home=str(home), **config))


def _desk(judge: FolderJudge, home: Path, **options: object) -> Desk:
    chosen = {"batch": True, "poll_seconds": 0.0, "settle_seconds": 0.0, "prices": home / "prices.toml", **options}
    return Desk(judge, home / "asked", settings=DeskSettings(**chosen))


class _Killed(BaseException):
    """As a kill: nobody catches it."""


def test_all_go_in_one_batch_and_come_in_order(home: Path) -> None:
    judge = _judge(home, n_looks=3)
    desk = _desk(judge, home)
    answers = list(desk.answers([*asked(29), ask(3)]))
    assert [answer.text for answer in answers] == [f"echo: question {n}" for n in [*range(29), 3]]
    assert [answer.is_kept for answer in answers] == [False] * 29 + [True]
    assert len(list(home.glob("batch_*.json"))) == 1
    assert desk.report().open_cost == 0.0
    assert [answer.is_kept for answer in _desk(judge, home).answers(asked(29))] == [True] * 29
    assert len(judge.paid()) == 29


def test_more_than_one_batch_holds_go_in_several(home: Path) -> None:
    judge = _judge(home)
    judge.most_in_batch = 7
    assert len(list(_desk(judge, home).answers(asked(23)))) == 23
    assert len(list(home.glob("batch_*.json"))) == 4


def test_a_budget_cuts_batches_and_what_it_reached_for_is_told(home: Path) -> None:
    judge = _judge(home)
    most = _desk(judge, home).estimate([ask(0)]).most_cost or 0.0
    one = 0.5 * (11 * 2.0 + 5 * 10.0) / 1e6
    desk = _desk(judge, home, budget=3.5 * most)
    answers = []
    with pytest.raises(BudgetError):
        answers.extend(desk.answers(asked(300)))
    n = len(list(judge.paid()))
    assert n > 30  # each batch's rest is spent by the next one
    assert n * one <= 3.5 * most < n * one + most
    told = []
    with pytest.raises(BudgetError):
        told.extend(_told(_desk(judge, home, budget=3.5 * most), 300))
    assert len(list(judge.paid())) == n


def _told(desk: Desk, n: int) -> list[str]:
    texts = []
    for answer in desk.answers(asked(n)):
        texts.append(answer.text)
    return texts


@pytest.mark.parametrize("keeps_marks", [True, False])
@pytest.mark.parametrize("is_sent", [True, False])
def test_a_batch_whose_sending_was_cut_is_found_or_sent_again(home: Path, keeps_marks: bool, is_sent: bool) -> None:
    judge = _judge(home, keeps_marks=keeps_marks)
    send = judge.send

    def killed(*args: object, **words: object) -> str:
        if is_sent:
            send(*args, **words)
        raise _Killed

    judge.send = killed
    with pytest.raises(_Killed):
        list(_desk(judge, home).answers(asked(13)))
    if not keeps_marks:  # another program's, as large, which must not be taken for ours
        _judge(home).send({f"{n:064d}": ask(100 + n) for n in range(13)}, mark="theirs")
    judge.send = send
    assert _told(_desk(judge, home), 13) == [f"echo: question {n}" for n in range(13)]
    mine = [words for words in judge.paid() if int(words.split()[1]) < 100]
    assert sorted(mine) == sorted(f"question {n}" for n in range(13))
    assert _desk(judge, home).report().n_open == 0


def test_a_batch_that_may_yet_show_up_is_waited_for(home: Path) -> None:
    judge = _judge(home)
    send, recent = judge.send, judge.recent
    looks: list[float] = []

    def killed(*args: object, **words: object) -> str:
        send(*args, **words)
        raise _Killed

    def late(since: float) -> list[SentBatch]:
        looks.append(since)
        return list(recent(since)) if len(looks) > 2 else []

    judge.send, judge.recent = killed, late
    with pytest.raises(_Killed):
        list(_desk(judge, home).answers(asked(3)))
    judge.send = send
    list(_desk(judge, home, settle_seconds=60.0, poll_seconds=0.001).answers(asked(3)))
    assert len(judge.paid()) == 3


def test_a_cut_collection_goes_on(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("monoseme.judges._batches._AT_A_TIME", 4)
    judge = _judge(home)
    collect = judge.collect

    def cut(batch_id: str):
        for n, pair in enumerate(collect(batch_id)):
            if n == 9:
                raise JudgeError("the connection broke")
            yield pair

    judge.collect = cut
    with pytest.raises(JudgeError, match="connection broke"):
        list(_desk(judge, home).answers(asked(17)))
    judge.collect = collect
    assert len(_told(_desk(judge, home), 17)) == 17
    lines = (home / "asked" / "ledger.jsonl").read_text().splitlines()
    assert sum('"says": "answer"' in line for line in lines) == 17


def test_without_batch_an_open_batch_is_waited_for_and_not_paid_again(home: Path) -> None:
    judge = _judge(home)
    collect, judge.collect = judge.collect, lambda batch_id: (_ for _ in ()).throw(JudgeError("broke"))
    with pytest.raises(JudgeError):
        list(_desk(judge, home).answers(asked(5)))
    judge.collect = collect
    assert _desk(judge, home, batch=False).estimate(asked(7)).n_to_ask == 2
    assert len(_told(_desk(judge, home, batch=False), 7)) == 7
    assert sorted(judge.paid()) == sorted(f"question {n}" for n in range(7))


def test_batches_that_nobody_asks_for_now_are_taken_when_they_are_done(home: Path) -> None:
    judge = _judge(home)
    collect, judge.collect = judge.collect, lambda batch_id: (_ for _ in ()).throw(JudgeError("broke"))
    with pytest.raises(JudgeError):
        list(_desk(judge, home).answers(asked(5)))
    judge.collect = collect
    list(_desk(judge, home).answers([ask(77)]))
    assert _desk(judge, home).report().n_open == 0
    assert all(answer.is_kept for answer in _desk(judge, home).answers(asked(5)))


def test_what_expired_is_a_failure_now_and_is_asked_another_time(home: Path) -> None:
    judge = _judge(home)
    judge.special["question 1"] = Reply(text=None, failure="expired")
    assert [answer.failure for answer in _desk(judge, home).answers(asked(3))] == [None, "expired", None]
    judge.special.clear()
    assert [answer.is_kept for answer in _desk(judge, home).answers(asked(3))] == [True, False, True]
    assert _desk(judge, home).report().n_open == 0


def test_what_may_be_charged_in_a_batch_goes_on_counting(home: Path) -> None:
    judge = _judge(home)
    judge.special["question 1"] = Reply(text=None, failure="without a count", may_be_charged=True)
    judge.special["question 2"] = Reply(text="an answer without a count", may_be_charged=True)
    desk = _desk(judge, home)
    assert [answer.failure for answer in desk.answers(asked(3))] == [None, "without a count", None]
    most = desk.estimate([ask(9)]).most_cost
    assert desk.report().open_cost == pytest.approx(most)
    assert (desk.report().cost or 0.0) > (most or 0.0)


def test_control_c_leaves_the_batch_at_the_provider(home: Path) -> None:
    judge = _judge(home, n_looks=10**9)
    timer = threading.Timer(0.15, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    with pytest.raises(Interrupted, match="1 batch at the provider"):
        list(_desk(judge, home, poll_seconds=0.02).answers(asked(3)))
    assert len(_told(_desk(_judge(home), home), 3)) == 3
    assert len(judge.paid()) == 3


def test_a_judge_without_batches_is_told_apart(home: Path) -> None:
    with pytest.raises(ConfigError, match="takes no batches"):
        _desk(FolderJudge(FolderJudge.Config(home=str(home))), home)


@pytest.mark.parametrize("n_kills", [1, pytest.param(10, marks=pytest.mark.slow)])
def test_killed_with_batches_nothing_is_paid_twice(home: Path, n_kills: int) -> None:
    config = {"home": str(home), "seconds": 0.1, "n_looks": 2, "keeps_marks": n_kills == 1}
    killed_until_done(home, {"judge": "folder_batch", "config": config, "n": 23, "desk": {"batch": True}}, n_kills=n_kills)
    assert (home / "answers").read_text().splitlines() == [f"echo: question {n}" for n in range(23)]
    assert sorted(_judge(home).paid()) == sorted(f"question {n}" for n in range(23))


@pytest.mark.parametrize("n_kills", [1, pytest.param(10, marks=pytest.mark.slow)])
def test_killed_without_batches_no_more_is_lost_than_was_on_its_way(home: Path, n_kills: int) -> None:
    config = {"home": str(home), "seconds": 0.05}
    killed = killed_until_done(home, {"judge": "folder", "config": config, "n": 40, "desk": {"concurrency": 3}}, n_kills=n_kills)
    assert (home / "answers").read_text().splitlines() == [f"echo: question {n}" for n in range(40)]
    judge = FolderJudge(FolderJudge.Config(home=str(home)))
    twice = len(judge.paid()) - len(set(judge.paid()))
    report = Desk(judge, home / "asked", settings=DeskSettings(prices=home / "prices.toml")).report()
    assert twice <= report.n_open <= 3 * killed
    assert len(set(judge.paid())) == 40
