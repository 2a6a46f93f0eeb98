"""Conversations: messages to turns, turns to text by a chat template, with the stretch of text each turn has."""

import re
from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple, cast

from monoseme.text.document import Turn

_SPEAKER = re.compile(r"(?:^|\n\n)(Human|Assistant):[ ]?")
_ROLE_KEYS, _CONTENT_KEYS = ("role", "from"), ("content", "value")

AS_WRITTEN = "{% for m in messages %}{{ '\n\nHuman: ' if m.role == 'user' else '\n\nAssistant: ' }}{{ m.content }}{% endfor %}"
"""Template that gives conversations with "Human:" and "Assistant:" back as they were, for tokenizers that have none."""


class Span(NamedTuple):
    """Characters [start, stop) of a rendered conversation are the content of turn `turn`."""

    start: int
    stop: int
    turn: int


class Rendered(NamedTuple):
    """A conversation as the model reads it; characters outside all spans belong to the template."""

    text: str
    spans: tuple[Span, ...]


def turns_of(value: Any, form: Literal["messages", "human_assistant"]) -> tuple[Turn, ...] | str:
    """The turns of a conversation, or what is wrong with it.

    "messages": a list of {role, content}, or {from, value} as ShareGPT writes it. "human_assistant": one text in which
    paragraphs begin with "Human:" and "Assistant:", as HH-RLHF writes it.
    """
    if form == "human_assistant":
        return _spoken(value) if isinstance(value, str) else f"holds {type(value).__name__}, not a text with turns"
    if not isinstance(value, list | tuple) or not value:
        return f"holds {type(value).__name__}, not a list of messages"
    turns = [_turn(message) for message in cast(Sequence[Any], value)]
    found = tuple(turn for turn in turns if turn is not None)
    return found if len(found) == len(turns) else "holds a message without a role and a content that is text"


def _turn(message: Any) -> Turn | None:
    if not isinstance(message, dict):
        return None
    role = next((message[key] for key in _ROLE_KEYS if key in message), None)
    content = next((message[key] for key in _CONTENT_KEYS if key in message), None)
    return Turn(role, content) if isinstance(role, str) and isinstance(content, str) else None


def _spoken(text: str) -> tuple[Turn, ...] | str:
    marks = list(_SPEAKER.finditer(text))
    if not marks:
        return 'has no turn that begins with "Human:" or "Assistant:"'
    stops = [*(mark.start() for mark in marks[1:]), len(text)]
    names = {"Human": "user", "Assistant": "assistant"}
    turns = tuple(Turn(names[mark[1]], text[mark.end() : stop].strip()) for mark, stop in zip(marks, stops, strict=True))
    # The last turn of a prompt may be left open, for the model to fill.
    return turns if turns[-1].content else turns[:-1] or "has no turn with text in it"


def render(turns: Sequence[Turn], template: Callable[[Sequence[Turn]], str]) -> Rendered | None:
    """The conversation through the template, with the span of each turn's content; None if the template alters contents.

    Where the contents lie cannot be searched for (a turn "user" is found in every header). The template is applied a second
    time to marks that no text holds; what it puts between them is what it puts between the contents.
    """
    marks = [f"\ue000{i}\ue001" for i in range(len(turns))]
    skeleton = template([Turn(turn.role, mark) for turn, mark in zip(turns, marks, strict=True)])
    pieces = _split_at(skeleton, marks)
    whole = template(turns)
    if pieces is None:
        return None
    for contents in ([turn.content for turn in turns], [turn.content.strip() for turn in turns]):
        candidate = _join(pieces, contents)
        if candidate.text == whole:
            return candidate
    return None


def _split_at(skeleton: str, marks: Sequence[str]) -> list[str] | None:
    pieces: list[str] = []
    for mark in marks:
        before, found, skeleton = skeleton.partition(mark)
        if not found:
            return None
        pieces.append(before)
    return [*pieces, skeleton]


def _join(pieces: Sequence[str], contents: Sequence[str]) -> Rendered:
    text, spans = pieces[0], []
    for turn, (content, after) in enumerate(zip(contents, pieces[1:], strict=True)):
        spans.append(Span(len(text), len(text) + len(content), turn))
        text += content + after
    return Rendered(text, tuple(spans))
