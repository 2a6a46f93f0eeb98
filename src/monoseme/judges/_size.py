"""How large a question is, before anybody counts its tokens."""

import functools
import json

from pydantic import BaseModel

from monoseme.judges._base import Question

_AROUND = 1024
"""Tokens (count) that a provider may put around any question, such as its own words on how to answer in JSON."""
_AROUND_MESSAGE = 64


def n_bytes(question: Question) -> int:
    """Bytes of what is sent (count), the schema of its answer included."""
    said = sum(len(message.text.encode("utf-8", "replace")) for message in question.messages)
    return said + _schema_bytes(question.answer_type)


def most_input_tokens(question: Question) -> int:
    """Tokens that a question can be charged for at most (count).

    No tokenizer in use makes more tokens than a text has bytes; a schema may be sent twice, in words and by the provider's means.
    """
    around = _AROUND + _AROUND_MESSAGE * len(question.messages)
    return n_bytes(question) + _schema_bytes(question.answer_type) + around


@functools.lru_cache(maxsize=64)
def _schema_bytes(answer_type: type[BaseModel] | None) -> int:
    return 0 if answer_type is None else len(json.dumps(answer_type.model_json_schema()).encode())
