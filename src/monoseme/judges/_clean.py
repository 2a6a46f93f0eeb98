"""Replies as they may be kept: bounded, without keys, and of characters that every file takes."""

import dataclasses
import math
from collections.abc import Iterable

from monoseme.judges._base import Reply, TokenChance
from monoseme.judges._secrets import without_secrets

_MOST_CHARACTERS = 1_000_000
"""More than any answer of use has."""
_LEAST_LOG = -1e4
"""In place of the logarithm of 0, which JSON does not have."""


def clean_reply(reply: Reply, *, variables: Iterable[str] = ()) -> Reply:
    """The reply without secrets and broken characters; one that is too long is a failure."""
    variables = tuple(variables)
    text = None if reply.text is None else _clean(reply.text, variables)
    failure = None if reply.failure is None else _clean(reply.failure, variables)[:1000]
    if text is not None and len(text) > _MOST_CHARACTERS:
        text, failure = text[:_MOST_CHARACTERS], failure or f"the answer has {len(text):,} characters"
    tokens = () if text is not None and text != reply.text else tuple(_finite(token) for token in reply.tokens)
    return dataclasses.replace(reply, text=text, failure=failure, tokens=tokens)


def _clean(text: str, variables: tuple[str, ...]) -> str:
    return without_secrets(text, variables=variables).encode("utf-8", "replace").decode()


def _finite(token: TokenChance) -> TokenChance:
    likeliest = {_clean(text, ()): value if math.isfinite(value) else _LEAST_LOG for text, value in token.likeliest.items()}
    return TokenChance(_clean(token.text, ()), likeliest)
