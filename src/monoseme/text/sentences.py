"""Sentences: a text cut by rules, and what a corpus of sentences means for contexts.

The rules are those of sentencex (Wikimedia's, for some 300 languages): abbreviations, initials, decimals, brackets and quotations
do not end a sentence; a blank line does. They need no model and no data.
"""

import importlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

from monoseme.core.errors import CorpusError
from monoseme.text.config import CorpusConfig
from monoseme.text.document import Document

MARK = b"monoseme.sentences"
"""Key in the metadata of a Parquet file that says its rows are sentences."""
_HUB_SENTENCES = "paulpauls/openwebtext-sentences"
ROWS_PER_SOURCE = 1000
"""Rows of given sentences that count as one source where no column names it. Such data keeps the order of its texts, and a text
has some dozens: so most of them are whole on one side of the held-out split."""
_DEFAULT_LANGUAGE = "en"
# Its rules for initials take a letter and the byte after it, and panic where a space has several bytes. A space for each keeps
# the number of characters. Delete when `sentencex.segment("en", "A\u00a0.")` gives an answer (1.0.32 does not).
_PLAIN_SPACES = {code: " " for code in range(128, 0x3001) if chr(code).isspace()}

Form = Literal["none", "cut", "given"]


class Span(NamedTuple):
    """Characters [start, stop) of a text."""

    start: int
    stop: int


class SplitterError(CorpusError):
    """The splitter failed on a text; the row counts as broken."""


def sentence_spans(text: str, *, language: str | None = None) -> list[Span]:
    """The sentences of a text, in order, without the space around them; together they hold every character that is no space.

    `language` as in `CorpusConfig`; one without rules of its own is cut by those of a related one, or of English.
    Raises SplitterError.
    """
    plain = text.translate(_PLAIN_SPACES)
    spans: list[Span] = []
    place = 0
    for piece in map(str.strip, _pieces(plain, language or _DEFAULT_LANGUAGE)):
        # Breaks between paragraphs are left out in some places: what is no space is all there, in order.
        start = _after_space(plain, place)
        if not plain.startswith(piece, start):
            raise SplitterError("the splitter gave sentences that are not in the text")
        place = start + len(piece)
        if piece:
            spans.append(Span(start, place))
    if _after_space(plain, place) < len(plain):
        raise SplitterError("the splitter left out text")
    return spans


def cut_document(document: Document, *, language: str | None) -> Iterator[Document]:
    """Each sentence as a document of the same source, row and labels. Raises SplitterError."""
    for start, stop in sentence_spans(document.text, language=language):
        yield document._replace(text=document.text[start:stop])


def sentence_form(config: CorpusConfig) -> Form:
    """What `config.sentences` means for its source."""
    if config.sentences != "auto":
        return config.sentences
    if config.source.lower() == _HUB_SENTENCES or is_sentence_file(Path(config.source)):
        return "given"
    return "none"


def with_sentences(config: CorpusConfig) -> CorpusConfig:
    """The configuration with what sentences mean written out: one to a context, without BOS, no longer than it.

    Sources of a file that `monoseme sentences` wrote are those of its column. Raises ConfigError where settings contradict that.
    """
    form = sentence_form(config)
    if form == "none":
        return replace(config, sentences="none", packing="packed" if config.packing == "auto" else config.packing)
    group = "source" if config.group_field is None and is_sentence_file(Path(config.source)) else config.group_field
    length = config.context_len if config.truncate_tokens is None else config.truncate_tokens
    config = replace(config, sentences=form)  # validated as if it had been said, before anything is filled in
    return replace(config, packing="one_per_context", bos="never", truncate_tokens=length, group_field=group)


def is_sentence_file(path: Path) -> bool:
    """Whether `monoseme sentences` wrote the file."""
    if path.suffix != ".parquet" or not path.is_file():
        return False
    import pyarrow
    import pyarrow.parquet

    try:
        return MARK in (pyarrow.parquet.read_schema(path).metadata or {})
    except (OSError, pyarrow.ArrowException):
        return False  # who reads it says what is wrong with it


def _after_space(text: str, place: int) -> int:
    """The first place from `place` on that holds no space, or the end."""
    while place < len(text) and text[place].isspace():
        place += 1
    return place


def _pieces(text: str, language: str) -> list[str]:
    segment = _splitter()
    try:
        return segment(language, text)
    except BaseException as error:  # what Rust calls a panic is no Exception in Python, and would end the program
        if type(error).__name__ != "PanicException":
            raise
        raise SplitterError(f"the splitter failed: {error}") from error


def _splitter() -> Callable[[str, str], list[str]]:
    """Takes a language and a text. Its package is four megabytes that only sentences need."""
    package: Any = importlib.import_module("sentencex")
    return package.segment
