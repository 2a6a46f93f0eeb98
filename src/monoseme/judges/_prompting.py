"""Questions as prompts of a local model: its chat template where it has one, else plain text with names before the turns."""

from collections.abc import Sequence
from typing import Any

import jinja2

from monoseme.core.errors import ConfigError
from monoseme.judges._base import Message

_NAMES = {"system": "Instructions", "user": "Question", "assistant": "Answer"}
_BREAK = "\u2060"
"""A word joiner: seen by nobody, and no part of any special token."""


def prompt_text(messages: Sequence[Message], tokenizer: Any) -> tuple[str, bool]:
    """The prompt, and whether it is one of the model's chat template (which then writes its own special tokens).

    Special tokens that stand in the messages' text are broken, so that no excerpt can end a turn and begin another.
    Raises ConfigError for a chat template that fails.
    """
    turns = [Message(message.role, _defused(message.text, tokenizer)) for message in messages]
    if getattr(tokenizer, "chat_template", None) is None:
        return "".join(f"{_NAMES[turn.role]}: {turn.text}\n\n" for turn in turns) + "Answer:", False
    try:
        return _templated(turns, tokenizer), True
    except jinja2.TemplateError:
        # Some templates (Gemma's) have no place for a system message.
        merged = _without_system(turns)
    try:
        return _templated(merged, tokenizer), True
    except jinja2.TemplateError as error:
        raise ConfigError(f"the model's chat template fails: {str(error)[:200]}") from error


def _templated(turns: Sequence[Message], tokenizer: Any) -> str:
    said = [{"role": turn.role, "content": turn.text} for turn in turns]
    return tokenizer.apply_chat_template(said, tokenize=False, add_generation_prompt=True)


def _without_system(turns: Sequence[Message]) -> list[Message]:
    system = "\n\n".join(turn.text for turn in turns if turn.role == "system")
    first, *others = [turn for turn in turns if turn.role != "system"]
    return [Message(first.role, f"{system}\n\n{first.text}" if system else first.text), *others]


def _defused(text: str, tokenizer: Any) -> str:
    added = (str(token) for token in tokenizer.added_tokens_decoder.values() if token.special)
    for special in sorted({*added, *map(str, tokenizer.all_special_tokens)}, key=len, reverse=True):
        if len(special) > 1 and special in text:
            text = text.replace(special, special[0] + _BREAK + special[1:])
    return text


def shortened(ids: Sequence[int], most: int) -> list[int]:
    """The ids without so many in their middle that `most` are left: a third of the beginning, and the end."""
    if len(ids) <= most:
        return list(ids)
    n_first = most // 3
    return [*ids[:n_first], *ids[len(ids) - (most - n_first) :]]
