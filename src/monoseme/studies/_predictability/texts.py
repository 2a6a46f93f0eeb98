"""Texts made of events, and pairs of sentences of which one leads up the garden path: those of the package, or the user's.

Read by `study predictability`, from JSON lines of two kinds, in any order:

    {"name": "the lost kite", "events": ["Tom ran over the hill ...", "In the kitchen ...", "A black ship ..."]}
    {"name": "hunted", "kind": "object or subject",
     "garden_path": "While the man hunted the deer [ran] into the woods.",
     "control": "While the man slept the deer [ran] into the woods."}

Events are passages of any length, written as they stand in the text; a space joins them. Square brackets stand around the word
that shows the first reading to be wrong, once in each sentence of a pair. `name` and `kind` are optional.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from monoseme.core.errors import BadRowError, CorpusError, EmptyCorpusError

_KEYS = {"events": {"name", "events"}, "garden_path": {"name", "kind", "garden_path", "control"}}
"""What tells the two kinds of rows apart -> the keys that such a row may have."""
_FORM = (
    '  Allowed: {"name": ..., "events": ["...", "..."]} or {"name": ..., "kind": ..., "garden_path": "... [word] ...", '
    '"control": "... [word] ..."}; see docs/studies/predictability.md'
)


class Span(NamedTuple):
    """Characters [start, stop) of a text."""

    start: int
    stop: int


class EventText(NamedTuple):
    """A text and where its events are."""

    name: str
    text: str
    events: tuple[Span, ...]


class Marked(NamedTuple):
    """A sentence and its marked word, the brackets taken out."""

    text: str
    word: Span


class GardenPair(NamedTuple):
    """A sentence that misleads, and one that does not, with the same words from the marked one on."""

    name: str
    kind: str
    garden_path: Marked
    control: Marked


class Texts(NamedTuple):
    """What a file holds."""

    events: tuple[EventText, ...]
    pairs: tuple[GardenPair, ...]


def own_texts() -> Path:
    """The texts of the package."""
    return Path(__file__).with_name("events.jsonl")


def read_texts(path: Path) -> Texts:
    """All rows of a file. Raises BadRowError for a row of another form, CorpusError for no file, EmptyCorpusError for no row."""
    try:
        lines = path.read_bytes().split(b"\n")
    except OSError as error:
        raise CorpusError(f"{path} cannot be read: {error}\n  Give a JSON-lines file to --events, or leave it out.") from error
    events: list[EventText] = []
    pairs: list[GardenPair] = []
    for number, line in enumerate(lines, start=1):
        if line.strip():
            where = f"{path}, line {number}"
            row = _object(line, where)
            if "events" in row:
                events.append(_event_text(row, where, default=f"text {number}"))
            else:
                pairs.append(_pair(row, where, default=f"pair {number}"))
    if not events and not pairs:
        raise EmptyCorpusError(f"{path} has no rows.\n{_FORM}")
    _check_names([each.name for each in (*events, *pairs)], path)
    return Texts(tuple(events), tuple(pairs))


def _object(line: bytes, where: str) -> Mapping[str, Any]:
    try:
        row = json.loads(line)
    except ValueError as error:
        raise BadRowError(f"{where} is not JSON: {error}\n{_FORM}") from error
    if not isinstance(row, dict):
        raise BadRowError(f"{where} holds {type(row).__name__}, not an object\n{_FORM}")
    kind = next((kind for kind in _KEYS if kind in row), None)
    if kind is None:
        raise BadRowError(f"{where} has neither events nor garden_path, but {', '.join(row) or 'nothing'}\n{_FORM}")
    if unknown := sorted(set(row) - _KEYS[kind]):
        raise BadRowError(f"{where} has {', '.join(unknown)}, which a row with {kind} does not have\n{_FORM}")
    return row


def _text(row: Mapping[str, Any], key: str, where: str, *, default: str | None = None) -> str:
    value = row.get(key, default)
    if not isinstance(value, str) or not value.strip():
        raise BadRowError(f"{where}: {key} must be a text, not {json.dumps(value)[:60]}\n{_FORM}")
    return value.strip()


def _event_text(row: Mapping[str, Any], where: str, *, default: str) -> EventText:
    found: object = row["events"]
    if not isinstance(found, list) or len(found) < 2 or not all(isinstance(e, str) and e.strip() for e in found):
        raise BadRowError(f"{where}: events must be a list of two or more texts\n{_FORM}")
    pieces = [str(event).strip() for event in found]
    spans: list[Span] = []
    for piece in pieces:
        start = spans[-1].stop + 1 if spans else 0
        spans.append(Span(start, start + len(piece)))
    return EventText(_text(row, "name", where, default=default), " ".join(pieces), tuple(spans))


def _pair(row: Mapping[str, Any], where: str, *, default: str) -> GardenPair:
    sentences = {key: _marked(_text(row, key, where), f"{where}: {key}") for key in ("garden_path", "control")}
    words = {sentence.text[slice(*sentence.word)] for sentence in sentences.values()}
    if len(words) > 1:
        raise BadRowError(f"{where}: the marked words differ, {' and '.join(sorted(words))}; they are compared, so mark the same")
    name, kind = _text(row, "name", where, default=default), _text(row, "kind", where, default="garden path")
    return GardenPair(name, kind, sentences["garden_path"], sentences["control"])


def _marked(text: str, where: str) -> Marked:
    before, opened, rest = text.partition("[")
    word, closed, after = rest.partition("]")
    if not opened or not closed or not word.strip() or word != word.strip() or {"[", "]"} & set(before + word + after):
        raise BadRowError(f"{where} must have exactly one word in square brackets: {text[:80]}\n{_FORM}")
    if not before.strip():
        raise BadRowError(f"{where} begins with its marked word, which then has no context: {text[:80]}")
    return Marked(before + word + after, Span(len(before), len(before) + len(word)))


def _check_names(names: list[str], path: Path) -> None:
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise BadRowError(f"{path} has two rows named {', '.join(twice)}; give each a name of its own")
