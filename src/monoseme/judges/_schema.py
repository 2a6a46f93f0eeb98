"""JSON schemas of answers in the strict form that providers take."""

import json
from collections.abc import Mapping
from typing import Any

from monoseme.core.errors import ConfigError
from monoseme.judges._base import Message, Question

_OF_NUMBERS = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf")
_OF_OTHERS = ("minLength", "maxLength", "pattern", "minItems", "maxItems", "uniqueItems")
BOUNDS = frozenset((*_OF_NUMBERS, *_OF_OTHERS))
"""What Anthropic's structured output refuses in a schema; OpenAI's takes most of it."""


def strict_schema(schema: Mapping[str, Any], *, without: frozenset[str] = frozenset()) -> dict[str, Any]:
    """The schema with all fields of its objects required and no others allowed, and with no defaults and titles.

    Keys in `without` become words of the description, which a model reads; the desk checks every answer against the whole type.
    Raises ConfigError for objects whose fields are not named (a dict), which no provider can be held to.
    """
    strict: dict[str, Any] = {}
    said: list[str] = []
    for name, value in schema.items():
        if name in ("properties", "$defs"):
            strict[name] = {key: strict_schema(below, without=without) for key, below in value.items()}
        elif name in ("anyOf", "oneOf", "allOf"):
            strict["allOf" if name == "allOf" else "anyOf"] = [strict_schema(below, without=without) for below in value]
        elif name == "items":
            strict[name] = strict_schema(value, without=without)
        elif name in without:
            said.append(f"{name}: {json.dumps(value)}")
        elif name not in ("default", "title", "discriminator"):
            strict[name] = value
    if said:
        strict["description"] = " ".join(filter(None, [strict.get("description", ""), f"({', '.join(said)})"]))
    return _closed(strict) if schema.get("type") == "object" else strict


def _closed(strict: dict[str, Any]) -> dict[str, Any]:
    if not strict.get("properties"):
        raise ConfigError(
            "an answer's type holds an object whose fields have no names (a dict): no provider holds a model to one.\n"
            "  Use a list of objects with named fields instead."
        )
    return {**strict, "required": list(strict["properties"]), "additionalProperties": False}


def told_schema(question: Question) -> tuple[Message, ...]:
    """The question's messages with the schema told in words, for models that are not held to it by other means."""
    if question.schema is None:
        return question.messages
    words = f"Answer with one JSON object and nothing else. It must fit this JSON schema:\n{json.dumps(question.schema)}"
    first, *others = question.messages
    if first.role == "system":
        return (Message("system", f"{first.text}\n\n{words}"), *others)
    return (Message("system", words), *question.messages)
