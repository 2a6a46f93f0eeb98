"""Reading replies that may be of any form: what is not there, or of another type, is None or 0."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

_MOST_TOKENS = 10**9


def at(told: Any, *path: str | int) -> Any:
    """What stands at a path of keys and places in decoded JSON; None where there is no such path."""
    for step in path:
        if isinstance(step, str) and isinstance(told, Mapping):
            told = told.get(step)
        elif isinstance(step, int) and isinstance(told, Sequence) and not isinstance(told, str) and step < len(told):
            told = told[step]
        else:
            return None
    return told


def number(told: Any) -> int:
    """A count of tokens; 0 for what is none."""
    is_count = isinstance(told, int) and not isinstance(told, bool) and 0 <= told <= _MOST_TOKENS
    return told if is_count else 0


def texts(entries: Any, name: str, value: str) -> dict[str, float]:
    """Names with finite numbers from a list of objects; others are left out."""
    found: dict[str, float] = {}
    for entry in entries if isinstance(entries, list) else []:
        key, number_ = at(entry, name), at(entry, value)
        if isinstance(key, str) and isinstance(number_, int | float) and math.isfinite(number_):
            found[key] = float(number_)
    return found
