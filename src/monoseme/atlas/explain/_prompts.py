"""How excerpts are shown to a judge that explains.

Every excerpt is a JSON string on a line of its own: nothing in it can end it, so that no text passes for a part of the request.
The words are short on purpose: a judge may be a small local model with a short context.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import replace

from monoseme.atlas.excerpts import Excerpt
from monoseme.atlas.prompts import CLOSE, OPEN, shown

_MOST_STRENGTHS = 8
"""Tokens of an excerpt whose strength is told, the strongest ones (count)."""
UNIT = "You study one unit inside a language model: it is active on some tokens of a text and silent on all others."
MARKS = (
    f"Each excerpt is a JSON string. Tokens on which the unit is active stand in {OPEN}{CLOSE}; their strengths, from 1 to 10,"
    " follow in brackets."
)
ANSWER = (
    "The text before a token can matter; the text after it cannot. "
    "Answer in JSON: reasoning (at most two sentences), explanation (one phrase, as specific as fits most excerpts, about the"
    " text and not about the unit), certainty (0 to 10)."
)


def line(excerpt: Excerpt, *, unit: float, mark_above: float) -> str:
    """One excerpt with its active tokens marked and their strengths; `unit` is the activation that counts as 10."""
    least = mark_above * excerpt.strongest
    marked = [i for i, value in enumerate(excerpt.values) if value is not None and value > 0 and value >= least]
    told = sorted(sorted(marked, key=lambda i: -(excerpt.values[i] or 0))[:_MOST_STRENGTHS])
    strengths = ", ".join(f"{json.dumps(excerpt.texts[i], ensure_ascii=False)} {_level(excerpt.values[i], unit)}" for i in told)
    return shown(excerpt.texts, marked) + (f" ({strengths})" if strengths else "")


def unit_of(excerpts: Sequence[Excerpt]) -> float:
    """The activation that counts as 10: the largest among them."""
    return max((excerpt.strongest for excerpt in excerpts), default=0.0) or 1.0


def cropped(excerpt: Excerpt, n_tokens: int | None) -> Excerpt:
    """At most n_tokens of it, two thirds of them before the focus; without a focus, the first ones. None: all."""
    if n_tokens is None or len(excerpt.tokens) <= n_tokens:
        return excerpt
    focus = excerpt.focus or 0
    first = min(max(0, focus - 2 * n_tokens // 3), len(excerpt.tokens) - n_tokens)
    at = slice(first, first + n_tokens)
    moved = None if excerpt.focus is None else focus - first
    kept = {"tokens": excerpt.tokens[at], "texts": excerpt.texts[at], "values": excerpt.values[at], "focus": moved}
    return replace(excerpt, **kept)


def quoted(texts: Sequence[str]) -> str:
    """Texts as a JSON list."""
    return json.dumps(list(texts), ensure_ascii=False)


def _level(value: float | None, unit: float) -> int:
    return min(10, math.ceil(10 * (value or 0.0) / unit))
