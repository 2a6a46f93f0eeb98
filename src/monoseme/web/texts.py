"""Texts of models, judges and corpora, which may be of any length."""


def shortened(text: str, most: int) -> str:
    """At most `most` characters of a text, the last of them an ellipsis where there is more."""
    return text if len(text) <= most else f"{text[: most - 1]}…"
