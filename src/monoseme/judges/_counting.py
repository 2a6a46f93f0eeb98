"""How an estimate is made: a sample's tokens are counted by the judge's own means, the others' follow from their bytes."""

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from monoseme.judges._base import Question
from monoseme.judges._estimate import Estimate
from monoseme.judges._size import n_bytes
from monoseme.judges._till import Till

_MOST_COUNTED = 200
"""A provider counts one question by one request (free of charge). With 200, the sum is within about 1 %: tokens per byte vary by
some 10 % among questions of one kind."""


_BYTES_PER_TOKEN = 3.5
"""As Anthropic says of English text in its glossary; what we send (examples of tokens, JSON) lies around it."""


class _Input(NamedTuple):
    n_counted: int
    tokens: int | None
    why_missing: str | None
    is_guess: bool = False


def estimate(till: Till, questions: Iterable[Question]) -> Estimate:
    """What the questions would cost; nothing is asked."""
    n_questions, to_ask = 0, dict[str, Question]()
    waiting = {key for intent in till.batches() for key in intent.keys}
    for question in questions:
        n_questions += 1
        key = till.key(question)
        if key not in waiting and till.kept(key, question) is None:
            to_ask[key] = question
    listed = list(to_ask.values())
    counted = _input(till, [to_ask[key] for key in sorted(to_ask)])
    usual = till.ledger.usual(till.judge_hash)
    most_output = sum(question.max_tokens for question in listed)
    output = round(len(listed) * usual.output_tokens / usual.n_answers) if usual.n_answers else None
    if not listed:
        output = 0
    is_batch = till.settings.batch
    most = [till.most(question, is_batch=is_batch) for question in listed]
    return Estimate(
        n_questions=n_questions,
        n_kept=n_questions - len(listed),
        n_counted=counted.n_counted,
        input_tokens=counted.tokens,
        output_tokens=output,
        most_output_tokens=most_output,
        input_cost=till.money(counted.tokens, 0),
        cost=None if output is None else till.money(counted.tokens, min(output, most_output)),
        most_cost=None if any(cost is None for cost in most) else sum(cost or 0.0 for cost in most),
        price=_price_text(till),
        is_batch=is_batch,
        why_missing=_why_missing(till, counted, output),
        is_guess=counted.is_guess,
    )


def _input(till: Till, questions: Sequence[Question]) -> _Input:
    """Tokens of questions in the order of their keys, of which the first are as good as drawn by chance."""
    sample = questions[:_MOST_COUNTED]
    with ThreadPoolExecutor(min(till.settings.concurrency, max(len(sample), 1))) as threads:
        found = list(threads.map(till.judge.count_tokens, sample))
    total = sum(map(n_bytes, questions))
    pairs = [(count, n_bytes(question)) for count, question in zip(found, sample, strict=True) if count is not None]
    if pairs or not questions:
        n_tokens, n_sampled = sum(count for count, _ in pairs), sum(size for _, size in pairs)
        return _Input(len(pairs), round(n_tokens * total / n_sampled) if len(pairs) < len(questions) else n_tokens, None)
    usual = till.ledger.usual(till.judge_hash)
    if usual.n_bytes:
        return _Input(0, round(total * usual.input_tokens / usual.n_bytes), None)
    if till.judge.missing_key is not None:
        why = f"{till.judge.missing_key} holds no key: with one, the provider itself counts tokens, free of charge"
        return _Input(0, round(total / _BYTES_PER_TOKEN), why, is_guess=True)
    return _Input(
        0, None, f"{till.judge.plugin_name} cannot count tokens before a question is asked; ask a few, and the next estimate can"
    )


def _price_text(till: Till) -> str | None:
    if till.is_free:
        return "nothing: this judge is free of charge"
    return None if till.price is None else str(till.price)


def _why_missing(till: Till, counted: _Input, output: int | None) -> str | None:
    reasons: list[str] = []
    if not till.is_free and till.price is None:
        reasons.append(f"no price of {till.judge.price_name} is known: give one in a table with --prices FILE")
    if counted.why_missing is not None:
        reasons.append(counted.why_missing)
    if output is None:
        reasons.append("how long answers are is known when a few are there: ask some, and the next estimate says what to expect")
    return "; ".join(reasons) or None
