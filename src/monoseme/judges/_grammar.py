"""Answers of local models held to a JSON schema, token by token (llguidance)."""

import importlib
import json
from collections.abc import Mapping
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from monoseme.core.errors import ConfigError, ExtraMissingError
from monoseme.judges._schema import strict_schema
from monoseme.models import LanguageModel

# Without it a small model can write spaces for ever.
_OPTIONS = {"whitespace_flexible": False}
_MOST_ITEMS = 64
_LARGEST = 10**9
_FINEST = 0.0001
"""Numbers have no more decimals than this."""


def import_llguidance() -> ModuleType:
    """Raises ExtraMissingError."""
    try:
        return importlib.import_module("llguidance")
    except ModuleNotFoundError as error:
        raise ExtraMissingError("holding a local model's answers to a schema", extra="local-judge") from error


class Grammars:
    """Makes guides for answers of one model; the tokenizer is read once, which takes a second for large ones."""

    def __init__(self, model: LanguageModel) -> None:
        """Raises ExtraMissingError, and ConfigError for a model that no token ends or whose tokenizer is not a fast one."""
        self._package = import_llguidance()
        if not model.end_ids:
            raise ConfigError(f"{model.config.model} has no token that ends a text, so no answer of it can end.")
        try:
            read = importlib.import_module("llguidance.hf").from_tokenizer
            self._tokenizer = read(model.tokenizer, n_vocab=model.spec.vocab_size, eos_token=sorted(model.end_ids))
        except ValueError as error:
            raise ConfigError(f"the tokenizer of {model.config.model} cannot hold answers to a schema: {error}") from error
        self._grammars: dict[str, str] = {}

    def guide(self, schema: Mapping[str, Any], *, most_characters: int) -> "Guide":
        """A guide for one answer; texts and lists without a bound of their own get one. Raises ConfigError for a schema that
        the package does not know."""
        known = json.dumps(schema, sort_keys=True)
        if known not in self._grammars:
            bounded = _bounded(strict_schema(schema), most_characters)
            self._grammars[known] = self._package.LLMatcher.grammar_from_json_schema(bounded, _OPTIONS)
        matcher = self._package.LLMatcher(self._tokenizer, self._grammars[known], log_level=0)
        if matcher.is_error():
            raise ConfigError(f"the answer's schema cannot be a grammar: {matcher.get_error()[:200]}")
        return Guide(matcher)


class Guide:
    """Says which tokens may come next in one answer."""

    def __init__(self, matcher: Any) -> None:
        self._matcher = matcher

    def mask(self, logits: Tensor) -> Tensor:
        """Logits [V] with -inf where the answer would leave its schema."""
        bits = np.unpackbits(np.frombuffer(self._matcher.compute_bitmask(), dtype=np.uint8), bitorder="little")
        allowed = torch.from_numpy(bits[: logits.shape[0]].astype(np.bool_)).to(logits.device)
        return logits.masked_fill(~allowed, float("-inf"))

    def take(self, token: int) -> None:
        """Goes on by a token."""
        self._matcher.consume_token(token)


def _bounded(schema: Any, most_characters: int) -> Any:
    """The schema with a bound on every text, list and number that has none, so that an answer comes to an end."""
    if isinstance(schema, list):
        return [_bounded(below, most_characters) for below in schema]
    if not isinstance(schema, Mapping):
        return schema
    bounded = {key: below if key in ("enum", "const") else _bounded(below, most_characters) for key, below in schema.items()}
    if not {"enum", "const", "pattern", "format"} & set(schema):
        for key, bound in _missing_bounds(schema, most_characters).items():
            bounded.setdefault(key, bound)
    return bounded


def _missing_bounds(schema: Mapping[str, Any], most_characters: int) -> dict[str, float]:
    """Bounds by the type of a value, for those that the schema may lack."""
    match schema.get("type"):
        case "string":
            return {"maxLength": max(most_characters, schema.get("minLength", 0))}
        case "array":
            return {"maxItems": max(_MOST_ITEMS, schema.get("minItems", 0))}
        case "integer" | "number" as kind:
            finest = {"multipleOf": _FINEST} if kind == "number" else {}
            lowest = {} if "exclusiveMinimum" in schema else {"minimum": -_LARGEST}
            highest = {} if "exclusiveMaximum" in schema else {"maximum": _LARGEST}
            return {**finest, **lowest, **highest}
        case _:
            return {}
