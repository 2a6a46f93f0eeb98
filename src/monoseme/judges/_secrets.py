"""Keys reach no log, no artifact and no error: whatever a provider or its package says passes here first."""

import os
import re
from collections.abc import Iterable

_SECRET_NAMES = re.compile(r"(?:KEY|TOKEN|SECRET|PASSWORD|CREDENTIALS?)$", re.IGNORECASE)
_KEY_SHAPES = re.compile(
    r"\b(?:sk-|gsk_|hf_|xai-|AIza)[A-Za-z0-9_\-]{12,}|(?<=Bearer )\S{8,}|(?<=x-api-key: )\S{8,}", re.IGNORECASE
)
_LEAST_CHARACTERS = 8
"""Shorter values are no keys, and would blacken words."""
_BLACK = "[secret]"


def without_secrets(text: str, *, variables: Iterable[str] = ()) -> str:
    """`text` with the value of every environment variable that is named like a key, and of `variables`, made unreadable."""
    for value in _values(variables):
        text = text.replace(value, _BLACK)
    return text


def safe_message(text: str, *, variables: Iterable[str] = ()) -> str:
    """As `without_secrets`, and whatever has the shape of a key as well: for errors, where nothing true is lost by it."""
    return _KEY_SHAPES.sub(_BLACK, without_secrets(text, variables=variables))


def _values(variables: Iterable[str]) -> list[str]:
    """Secrets of this process, the longest first, so that one that holds another goes whole."""
    named = set(variables)
    values = {value for name, value in os.environ.items() if name in named or _SECRET_NAMES.search(name)}
    return sorted((value for value in values if len(value) >= _LEAST_CHARACTERS), key=len, reverse=True)
