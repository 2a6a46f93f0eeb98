"""CoNLL-U: sentences as words with their part of speech, each word in its place in the text.

Source: https://universaldependencies.org/format.html. Read by `rows.py` (as a corpus) and `tagged.py` (for tags).
Lines end at "\\n" only. A sentence with a broken line is left out whole and told; the sentences around it stay.

Surface forms: of a multiword token ("8-9") only the range's own form is in the text. Where the forms of its words spell it
("do" + "n't" = "don't") each word has its own place; elsewhere ("du" = "de" + "le") the whole is one word whose tags are
those of its words joined by "+". Empty nodes ("8.1") are no part of the text.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

_N_COLUMNS = 10
_WHITE = re.compile(r"\s")
"""A character of white space: the columns do not tell a no-break space from another one, `# text` does."""
_ID = re.compile(r"(\d+)(?:([-.])(\d+))?")


class ConlluError(ValueError):
    """Why a sentence cannot be read, and the line to mend."""

    def __init__(self, line: int, why: str) -> None:
        super().__init__(why)
        self.line = line


class Word(NamedTuple):
    """A word in the characters [start, stop) of its text."""

    start: int
    stop: int
    upos: str
    """Universal part of speech; "_" where there is none."""
    xpos: str
    """Part of speech of the language's own tag set; "_" where there is none."""


class Sentence(NamedTuple):
    """One sentence. `line` is that of its first word or comment, from 1."""

    line: int
    text: str
    words: tuple[Word, ...]
    comments: Mapping[str, str]
    """`# key = value` as key -> value; one without a value, such as "# newpar", maps to ""."""
    space_after: bool
    """Whether a space follows the sentence in its document."""


class BadSentence(NamedTuple):
    """A sentence that cannot be read, and why; `line` is the line to mend."""

    line: int
    why: str


class TaggedDocument(NamedTuple):
    """Sentences up to the next `# newdoc`, or one sentence where the file marks no documents."""

    line: int
    name: str
    """Id of the document, or of the sentence; "line 7" where there is neither."""
    text: str
    words: tuple[Word, ...]
    comments: Mapping[str, str]
    """Of the first sentence."""


class _Line(NamedTuple):
    """One row of a sentence: `first` to `last` are ids; empty nodes have none of these."""

    line: int
    first: int
    last: int
    form: str
    upos: str
    xpos: str
    space_after: bool


def read_sentences(lines: Iterable[bytes]) -> Iterator[Sentence | BadSentence]:
    """The sentences of a file, given as its lines in bytes."""
    block: list[tuple[int, bytes]] = []
    for number, raw in enumerate(lines, start=1):
        line = raw.removeprefix(b"\xef\xbb\xbf") if number == 1 else raw
        if line.strip():
            block.append((number, line.rstrip(b"\r\n")))
        elif block:
            yield _sentence(block)
            block = []
    if block:
        yield _sentence(block)


def read_tagged_documents(lines: Iterable[bytes]) -> Iterator[TaggedDocument | BadSentence]:
    """The documents of a file; broken sentences come as they are met, before the document that they are missing from."""
    held: list[Sentence] = []
    in_document = False
    for sentence in read_sentences(lines):
        if isinstance(sentence, BadSentence):
            yield sentence
            continue
        begins = any(key.startswith("newdoc") for key in sentence.comments)
        if held and (begins or not in_document):
            yield _document(held)
            held = []
        in_document = in_document or begins
        held.append(sentence)
    if held:
        yield _document(held)


def _document(sentences: Sequence[Sentence]) -> TaggedDocument:
    text, words = "", list[Word]()
    space = False
    for sentence in sentences:
        if text:
            text += "\n" if any(key.startswith("newpar") for key in sentence.comments) else " " if space else ""
        words += [word._replace(start=word.start + len(text), stop=word.stop + len(text)) for word in sentence.words]
        text += sentence.text
        space = sentence.space_after
    first = sentences[0]
    name = first.comments.get("newdoc id") or first.comments.get("sent_id") or f"line {first.line}"
    return TaggedDocument(first.line, name, text, tuple(words), first.comments)


def _sentence(block: Sequence[tuple[int, bytes]]) -> Sentence | BadSentence:
    comments: dict[str, str] = {}
    rows: list[_Line] = []
    try:
        for number, raw in block:
            line = _decoded(number, raw)
            if line.startswith("#"):
                key, _, value = line[1:].partition("=")
                comments[key.strip()] = value.strip()
            elif (row := _row(number, line)) is not None:
                rows.append(row)
        return _spelt(block[0][0], rows, comments)
    except ConlluError as error:
        return BadSentence(error.line, str(error))


def _decoded(number: int, raw: bytes) -> str:
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ConlluError(number, f"not UTF-8: {error.reason}") from error


def _row(number: int, line: str) -> _Line | None:
    """The line's row; None for an empty node."""
    columns = line.split("\t")
    if len(columns) != _N_COLUMNS:
        raise ConlluError(number, f"{len(columns)} columns instead of {_N_COLUMNS}")
    found = _ID.fullmatch(columns[0])
    if found is None or (found[2] == "-" and int(found[3]) <= int(found[1])):
        raise ConlluError(number, f'"{columns[0]}" is no id of a word, such as 3, 3-4 or 3.1')
    if found[2] == ".":
        return None
    if not columns[1]:
        raise ConlluError(number, f"word {columns[0]} has no form")
    space_after = "SpaceAfter=No" not in columns[9].split("|")
    first = int(found[1])
    return _Line(number, first, int(found[3] or first), columns[1], columns[3], columns[4], space_after)


def _spelt(line: int, rows: Sequence[_Line], comments: Mapping[str, str]) -> Sentence:
    """The sentence with its text put together from forms and spaces; it must be what `# text` says, where that is there."""
    if not rows:
        raise ConlluError(line, "a sentence without words")
    text, words, space = "", list[Word](), True
    for surface, parts in _surface(rows):
        words += _placed(surface, parts, start=len(text))
        space = surface.space_after
        text += surface.form + (" " if space else "")
    text = text.removesuffix(" ") if space else text
    said = comments.get("text", text)
    if _WHITE.sub(" ", said) != _WHITE.sub(" ", text):
        raise ConlluError(line, f'the words spell "{text}", but # text is "{said}"')
    return Sentence(line, said, tuple(words), dict(comments), space)


def _surface(rows: Sequence[_Line]) -> Iterator[tuple[_Line, list[_Line]]]:
    """What stands in the text, one after the other, each with the words it is made of."""
    place, expected = 0, 1
    while place < len(rows):
        row = rows[place]
        n_words = row.last - row.first + 1
        begin = place + (n_words > 1)  # the words of a range follow it
        parts = list(rows[begin : begin + n_words])
        wanted = [(i, i) for i in range(expected, expected + n_words)]
        if row.first != expected or [(part.first, part.last) for part in parts] != wanted:
            raise ConlluError(row.line, f"ids out of order: word {expected} was expected here, and each word once")
        yield row, parts
        place, expected = begin + n_words, expected + n_words


def _placed(surface: _Line, parts: Sequence[_Line], *, start: int) -> list[Word]:
    if "".join(part.form for part in parts) != surface.form:
        upos, xpos = ("+".join(getattr(part, name) for part in parts) for name in ("upos", "xpos"))
        return [Word(start, start + len(surface.form), upos, xpos)]
    words: list[Word] = []
    for part in parts:
        words.append(Word(start, start + len(part.form), part.upos, part.xpos))
        start += len(part.form)
    return words
