"""Graded answers: the types that hold a judge to them, and the grades read from what it said.

A grade is one digit, so that it is one token with most tokenisers: where a judge gives log-probabilities, the grade that counts
is the mean digit under them, which tells apart what the likeliest digit alone would tie.
"""

import functools
import math
import re
from collections.abc import Sequence
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, create_model

from monoseme.judges import Answer, TokenChance

Grade = Literal[0, 1, 2, 3, 4, 5, 6, 7, 8, 9]
YES_FROM = 5
"""Grades from here on say yes."""
N_LOGPROBS = 10
"""Likeliest tokens asked for at each place: as many as there are grades."""


@functools.cache
def grades_type(n: int, *, name: str) -> type[BaseModel]:
    """An answer with one grade for each of n things, called `<name>_1` and so on: none can be left out or counted wrongly."""
    fields: dict[str, Any] = {f"{name}_{i + 1}": (Grade, ...) for i in range(n)}
    return create_model(f"Grades_{name}_{n}", __config__=ConfigDict(extra="forbid"), **fields)


def grades_of(answer: Answer) -> list[float] | None:
    """The grades of an answer to a `grades_type` question, in [0, 9]; None for a failure.

    The mean under the log-probabilities where the judge gave them, else the digit itself.
    """
    if answer.value is None:
        return None
    said = answer.value.model_dump()
    means = {} if answer.reply is None else _mean_digits(answer.reply.tokens)
    return [means.get((name, grade), float(grade)) for name, grade in said.items()]


_FIELD = re.compile(r'"(?P<name>\w+)"\s*:\s*(?P<digit>[0-9])(?![0-9])')


def _mean_digits(tokens: Sequence[TokenChance]) -> dict[tuple[str, int], float]:
    """(field, digit said) -> mean digit under the log-probabilities of the token that says it."""
    ends: list[int] = []
    for token in tokens:
        ends.append(len(token.text) + (ends[-1] if ends else 0))
    found: dict[tuple[str, int], float] = {}
    at = 0
    for match in _FIELD.finditer("".join(token.text for token in tokens)):
        while ends[at] <= match.start("digit"):
            at += 1
        mean = _mean_digit(tokens[at])
        if mean is not None:
            found[match["name"], int(match["digit"])] = mean
    return found


def _mean_digit(token: TokenChance) -> float | None:
    """The mean over the likeliest tokens that are a digit alone; None where the token says more than a digit, or none is."""
    if not _is_digit(token.text):
        return None
    weights = [(int(text.strip()), math.exp(chance)) for text, chance in token.likeliest.items() if _is_digit(text)]
    total = sum(weight for _, weight in weights)
    return sum(digit * weight for digit, weight in weights) / total if total > 0 else None


def _is_digit(text: str) -> bool:
    return len(text.strip()) == 1 and text.strip() in "0123456789"
