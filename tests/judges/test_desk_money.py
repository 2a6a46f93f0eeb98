"""Budgets that are never passed, estimates and reports against hand-worked sums, prices."""

import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.judges.judge_fakes import PRICES, FolderBatchJudge, FolderJudge, ask, asked

from monoseme.core.errors import BudgetError, ConfigError
from monoseme.judges import Desk, DeskSettings, Question, Reply
from monoseme.judges._prices import Price, price_of
from monoseme.judges._rates import Pace
from monoseme.judges._size import most_input_tokens, n_bytes

_MILLION = 1e6


@pytest.fixture
def table(tmp_path: Path) -> Path:
    (tmp_path / "prices.toml").write_text(PRICES)
    return tmp_path / "prices.toml"


def _desk(home: Path, table: Path | None, *, is_batch: bool = False, **options: object) -> Desk:
    kind = FolderBatchJudge if is_batch else FolderJudge
    chosen = DeskSettings(prices=table, batch=is_batch, poll_seconds=0.0, settle_seconds=0.0, **options)
    return Desk(kind(kind.Config(home=str(home))), home / "asked", settings=chosen)


def test_a_report_is_the_sum_of_what_was_charged(tmp_path: Path, table: Path) -> None:
    desk = _desk(tmp_path, table, budget=1.0)
    replies = [Reply(text="a", input_tokens=1000, cached_input_tokens=300, written_input_tokens=70, output_tokens=11)]
    desk.judge.special["question 0"] = replies[0]
    list(desk.answers(asked(2)))
    report = desk.report()
    by_hand = (1000 * 2.0 + 300 * 0.2 + 70 * 2.5 + 11 * 10.0) / _MILLION + (11 * 2.0 + 5 * 10.0) / _MILLION
    assert report.cost == pytest.approx(by_hand, rel=1e-12)
    assert report.folder_cost == pytest.approx(by_hand, rel=1e-12)
    assert (report.input_tokens, report.cached_input_tokens, report.output_tokens) == (1081, 300, 16)
    assert _desk(tmp_path, table).report().folder_cost == pytest.approx(by_hand, rel=1e-12)
    assert "of a budget of $1.00" in report.text()


def test_a_batch_costs_its_share(tmp_path: Path, table: Path) -> None:
    desk = _desk(tmp_path, table, is_batch=True)
    list(desk.answers(asked(3)))
    assert desk.report().cost == pytest.approx(3 * 0.5 * (11 * 2.0 + 5 * 10.0) / _MILLION, rel=1e-12)


@settings(max_examples=15)
@given(
    budget=st.floats(1e-4, 0.03),
    tokens=st.lists(st.tuples(st.integers(1, 1000), st.integers(0, 50)), min_size=1, max_size=23),
    concurrency=st.integers(1, 5),
    is_batch=st.booleans(),
)
def test_no_budget_is_ever_passed(
    tmp_path_factory: pytest.TempPathFactory,
    budget: float,
    tokens: list[tuple[int, int]],
    concurrency: int,
    is_batch: bool,
) -> None:
    home = tmp_path_factory.mktemp("home")
    (home / "prices.toml").write_text(PRICES)
    desk = _desk(home, home / "prices.toml", is_batch=is_batch, budget=budget, concurrency=concurrency)
    for n, (n_in, n_out) in enumerate(tokens):
        desk.judge.special[f"question {n}"] = Reply(text="a", input_tokens=n_in, output_tokens=n_out)
    n_answered, is_stopped = 0, False
    try:
        for _ in desk.answers(asked(len(tokens))):
            n_answered += 1
    except BudgetError:
        is_stopped = True
    charged = [tokens[int(words.split()[1])] for words in desk.judge.paid()]
    share = 0.5 if is_batch else 1.0
    cost = sum((n_in * 2.0 + n_out * 10.0) * share / _MILLION for n_in, n_out in charged)
    assert cost <= budget + 1e-15
    assert desk.report().folder_cost == pytest.approx(cost)
    assert desk.report().open_cost == 0.0
    assert n_answered == len(charged)
    assert is_stopped == (n_answered < len(tokens))


def test_a_budget_goes_on_counting_in_the_next_command(tmp_path: Path, table: Path) -> None:
    most = Price(model="m", input=2.0, output=10.0, cache_write=2.5, read="", source="").most(
        input_tokens=most_input_tokens(ask(0)), output_tokens=50
    )
    one = (11 * 2.0 + 5 * 10.0) / _MILLION
    budget = most + 2.5 * one  # the fourth could pass it
    for n_answered in (3, 0):
        desk = _desk(tmp_path, table, budget=budget)
        with pytest.raises(BudgetError, match="type the same command with a larger --budget") as caught:
            list(desk.answers(asked(9)))
        assert desk.report().n_asked == n_answered
        assert f"${3 * one:.4f} is spent" in str(caught.value)
    assert len(list(_desk(tmp_path, table, budget=1.0).answers(asked(9)))) == 9


def test_what_is_on_its_way_counts_as_the_most_it_can_cost(tmp_path: Path, table: Path) -> None:
    desk = _desk(tmp_path, table, budget=1.0, concurrency=7)
    most: list[float] = []
    answer = desk.judge.answer
    lock = threading.Lock()

    def watched(question: Question) -> Reply:
        with lock:
            most.append(desk.report().open_cost)
        return answer(question)

    desk.judge.answer = watched
    list(desk.answers(asked(20)))
    assert min(most) >= 50 * 10.0 / _MILLION  # its own at least
    assert desk.report().open_cost == 0.0


def test_without_a_price_there_is_no_budget(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no price of m-7 is known.*\n.*--prices FILE"):
        _desk(tmp_path, None, budget=1.0)
    desk = _desk(tmp_path, None)
    list(desk.answers(asked(2)))
    assert desk.report().cost is None
    assert desk.report().why_missing == "no price of m-7 is known"


def test_answers_from_before_a_price_was_known_count_by_it(tmp_path: Path, table: Path) -> None:
    list(_desk(tmp_path, None).answers(asked(3)))
    desk = _desk(tmp_path, table, budget=1.0)
    list(desk.answers(asked(5)))
    assert desk.report().folder_cost == pytest.approx(5 * (11 * 2.0 + 5 * 10.0) / _MILLION)


def test_an_estimate_is_within_what_is_paid(tmp_path: Path, table: Path) -> None:
    desk = _desk(tmp_path, table)
    before = desk.estimate([*asked(7), *asked(2)])
    assert (before.n_questions, before.n_kept, before.n_to_ask, before.input_tokens) == (9, 2, 7, 77)
    assert before.output_tokens is None
    assert "how long answers are" in (before.why_missing or "")
    assert before.input_cost == pytest.approx(77 * 2.0 / _MILLION)
    assert not (tmp_path / "asked").exists()
    list(desk.answers(asked(3)))
    after = desk.estimate(asked(7))
    assert (after.n_to_ask, after.input_tokens, after.output_tokens) == (4, 44, 20)
    paid = desk.report().cost or 0.0
    list(desk.answers(asked(7)))
    assert (desk.report().cost or 0.0) - paid == pytest.approx(after.cost)
    assert (after.cost or 0.0) < (after.most_cost or 0.0)
    assert desk.estimate(asked(7)).cost == 0.0
    assert "7 of them answered before: 0 to ask" in desk.estimate(asked(7)).text()


def test_the_tokens_of_many_questions_follow_from_a_sample(tmp_path: Path, table: Path) -> None:
    desk = _desk(tmp_path, table)
    desk.judge.count_tokens = n_bytes  # a token for each byte
    questions = asked(1009)
    found = desk.estimate(questions)
    exact = sum(map(n_bytes, questions))
    assert found.n_counted == 200
    assert found.input_tokens == pytest.approx(exact, rel=0.01)
    assert "from 200 of them" in found.text()


def test_a_judge_that_cannot_count_is_believed_after_a_few_answers(tmp_path: Path, table: Path) -> None:
    desk = _desk(tmp_path, table)
    desk.judge.count_tokens = lambda question: None
    found = desk.estimate(asked(13))
    assert found.input_tokens is None
    assert found.most_cost is not None
    assert "cannot count tokens before" in (found.why_missing or "")
    list(desk.answers(asked(5)))
    assert desk.estimate(asked(13)).input_tokens == pytest.approx(8 * 11, rel=0.05)


def test_a_price_is_found_by_its_name_with_or_without_a_date(table: Path) -> None:
    assert price_of("claude-haiku-4-5-20251001") == price_of("claude-haiku-4-5")
    assert price_of("claude-haiku-4-5") is not None
    assert price_of("claude-haiku-4-5-large") is None
    assert price_of("m-7", table=table) == Price(
        model="m-7", input=2.0, output=10.0, cached_input=0.2, cache_write=2.5, read="2026-11-22", source="a test"
    )
    assert price_of("claude-haiku-4-5", table=table) == price_of("claude-haiku-4-5")


def test_a_long_question_is_dearer_where_a_price_says_so() -> None:
    price = Price(model="m", input=1.0, output=5.0, long_from=100, long_factor=3.0, read="", source="")
    assert price.cost(Reply(text="", input_tokens=90, cached_input_tokens=10)) == pytest.approx(100 / _MILLION)
    assert price.cost(Reply(text="", input_tokens=90, cached_input_tokens=11)) == pytest.approx(3 * 101 / _MILLION)
    assert price.most(input_tokens=101, output_tokens=2) == pytest.approx(3 * 111 / _MILLION)


@pytest.mark.parametrize(
    "text", ["", "price = 3", '[[price]]\nmodel = "m"', '[[price]]\nmodel = "m"\ninput = -1.0\noutput = 1.0']
)
def test_a_broken_table_of_prices_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "broken.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match="price"):
        price_of("m", table=path)


def test_a_pace_lets_out_no_more_than_its_rate() -> None:
    now = 0.0
    pace = Pace(requests_per_minute=120, tokens_per_minute=6000, clock=lambda: now)
    sent: list[tuple[float, int]] = []
    for n in range(60):
        n_tokens = 7 + 53 * (n % 3)
        now += pace.wait(n_tokens) + 1e-9
        pace.sent(n_tokens)
        sent.append((now, n_tokens))
    for begin, _ in sent:
        window = [n_tokens for when, n_tokens in sent if begin <= when < begin + 60.0]
        assert len(window) <= 120 + 12
        assert sum(window) <= 6000 + 600 + 113
    assert now > 30.0
