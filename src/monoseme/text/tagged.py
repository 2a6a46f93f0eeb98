"""Texts whose words have tags, such as parts of speech, and the tags of a model's tokens by the characters they share.

Tags come from CoNLL-U files or from a spaCy pipeline. Letters: T tokens of a text.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

from monoseme.core.display import get_display
from monoseme.core.errors import ConfigError, CorpusError, EmptyCorpusError, ExtraMissingError
from monoseme.text.conllu import BadSentence, TaggedDocument, read_tagged_documents
from monoseme.text.document import MAX_PLACES_TOLD
from monoseme.text.rows import open_compressed

TagColumn = Literal["upos", "xpos"]


class TaggedWord(NamedTuple):
    """A word in the characters [start, stop) of its text, and its tag."""

    start: int
    stop: int
    tag: str


class TaggedText(NamedTuple):
    """A text with the tags of its words, in their order; `source` names what it comes from, such as a document's id."""

    text: str
    source: str
    words: tuple[TaggedWord, ...]


class TokenTag(NamedTuple):
    """What a token is a piece of."""

    tag: str
    is_last: bool
    """Whether it is the last token of its word."""


def read_tagged(path: Path, *, column: TagColumn = "upos") -> Iterator[TaggedText]:
    """The documents of a CoNLL-U file with the tags of one of its columns; words without a tag ("_") are left out.

    Broken sentences are left out and told. Raises CorpusError if the file cannot be read, EmptyCorpusError if it holds no
    tagged word.
    """
    n_bad, n_words = 0, 0
    try:
        with open_compressed(path) as stream:
            for found in read_tagged_documents(stream):
                if isinstance(found, BadSentence):
                    n_bad += 1
                    if n_bad <= MAX_PLACES_TOLD:
                        get_display().warn(f"skipped {path.name}, line {found.line}: {found.why}")
                    continue
                tagged = _of_column(found, column)
                n_words += len(tagged.words)
                yield tagged
    except OSError as error:
        raise CorpusError(f"{path} cannot be read: {error}") from error
    if n_bad > MAX_PLACES_TOLD:
        get_display().warn(f"{path.name}: {n_bad:,} sentences are broken and were skipped")
    if not n_words:
        raise EmptyCorpusError(f"{path} holds no word with a tag in the column {column}; {n_bad:,} of its sentences are broken")


def _of_column(document: TaggedDocument, column: TagColumn) -> TaggedText:
    words = [TaggedWord(word.start, word.stop, getattr(word, column)) for word in document.words]
    return TaggedText(document.text, document.name, tuple(word for word in words if word.tag.strip("_+")))


def spacy_pipeline(model: str) -> Callable[[Iterable[str]], Iterable[Any]]:
    """Texts to spaCy's documents by a pipeline that is installed.

    Raises ExtraMissingError without spaCy, ConfigError for a pipeline that is not there.
    """
    try:
        import spacy  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise ExtraMissingError(
            f"the tagger spacy (and its pipeline:  python -m spacy download {model} )", extra="tags"
        ) from error
    try:
        return spacy.load(model, exclude=["ner", "parser"]).pipe
    except OSError as error:
        raise ConfigError(f'spaCy has no pipeline "{model}".\n  Get it with:  python -m spacy download {model}') from error


def tag_texts(texts: Sequence[tuple[str, str]], tagger: Callable[[Iterable[str]], Iterable[Any]], *, column: TagColumn = "upos"
              ) -> Iterator[TaggedText]:  # fmt: skip
    """(text, source) pairs with the tags that `tagger` (as of `spacy_pipeline`) gives; white space has none."""
    name = "pos_" if column == "upos" else "tag_"
    for (text, source), found in zip(texts, tagger(text for text, _ in texts), strict=True):
        words = [TaggedWord(w.idx, w.idx + len(w.text), getattr(w, name)) for w in found if w.text.strip()]
        yield TaggedText(text, source, tuple(word for word in words if word.tag))


def align(text: str, offsets: Sequence[tuple[int, int]], words: Sequence[TaggedWord]) -> list[TokenTag | None]:
    """The tag of each of T tokens: that of the word which holds the token's first character that is no space.

    `offsets` are the characters [start, stop) of each token, as a tokenizer gives them: some count the space before a word to
    the word's first token, some do not. None for a token of spaces only, or outside all words. Both lists must be in order.
    """
    owners: list[int | None] = []
    place = 0
    for start, stop in offsets:
        first = start + len(text[start:stop]) - len(text[start:stop].lstrip())
        while place < len(words) and words[place].stop <= first:
            place += 1
        inside = first < stop and place < len(words) and words[place].start <= first
        owners.append(place if inside else None)
    last = {owner: token for token, owner in enumerate(owners)}
    return [None if owner is None else TokenTag(words[owner].tag, last[owner] == i) for i, owner in enumerate(owners)]
