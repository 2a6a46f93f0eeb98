"""Text of unknown origin in a form that can be stored: no lone surrogates."""

import re

_SURROGATES = re.compile("[\ud800-\udfff]")


def clean_text(text: str) -> str:
    """The text with lone surrogates (bytes that are no UTF-8) shown as U+FFFD; all else, control characters too, stays."""
    return _SURROGATES.sub("\ufffd", text)
