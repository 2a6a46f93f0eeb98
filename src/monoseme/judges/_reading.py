"""Reading replies that may be of any form: what is not there, or of another type, is None or 0."""

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

_MOST = 10**10
_ID = re.compile(r"[A-Za-z0-9_-]{1,200}")


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
    """A count of tokens or questions, or a time in whole seconds; 0 for what is none."""
    is_count = isinstance(told, int) and not isinstance(told, bool) and 0 <= told <= _MOST
    return told if is_count else 0


def identifier(told: Any) -> str | None:
    """The id that a provider gave a batch or a file; None for what is none, or would be more than a name in an address."""
    found = at(told, "id")
    return found if isinstance(found, str) and _ID.fullmatch(found) else None


def texts(entries: Any, name: str, value: str) -> dict[str, float]:
    """Names with finite numbers from a list of objects; others are left out."""
    found: dict[str, float] = {}
    for entry in entries if isinstance(entries, list) else []:
        key, number_ = at(entry, name), at(entry, value)
        if isinstance(key, str) and isinstance(number_, int | float) and math.isfinite(number_):
            found[key] = float(number_)
    return found
