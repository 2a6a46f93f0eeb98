"""The texts of the bundled model: which ones it learns from, which ones it never sees.

Reads the folder of corpora that the project's developers share (see docs/bundled-model.md for what must be in it).
Everything that decides train or held out is here, so that measuring and training cannot disagree.
"""

import csv
import hashlib
import io
import json
from pathlib import Path
from typing import NamedTuple

import zstandard

N_HELD_OUT_AUTHORS = 7
"""10 % of the 69 authors."""

N_HELD_OUT_STORIES = 360
"""Generated stories kept for validation, 2 % of them."""


class Book(NamedTuple):
    """One whole book."""

    author: str
    title: str
    text: str


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def _jsonl_zst(path: Path) -> list[dict[str, str]]:
    """Rows of a compressed jsonl file, cut at the byte \\n only: the books hold U+0085, where str.splitlines cuts too."""
    with path.open("rb") as stream:
        raw = zstandard.ZstdDecompressor().stream_reader(stream).read()
    return [json.loads(line) for line in raw.split(b"\n") if line]


def read_books(corpora: Path) -> list[Book]:
    """All books, in file order."""
    rows = _jsonl_zst(corpora / "classic_books" / "books.jsonl.zst")
    return [Book(row["author"], row["title"], row["text"]) for row in rows]


def held_out_authors(books: list[Book]) -> list[str]:
    """The seven authors whose name has the smallest SHA-256: no choice by eye, the same on every machine."""
    return sorted({book.author for book in books}, key=_digest)[:N_HELD_OUT_AUTHORS]


class Stories(NamedTuple):
    """Generated stories, each list in file order."""

    train: list[str]
    held_out: list[str]


def read_generated_stories(corpora: Path) -> Stories:
    """Held out are the stories whose text has the smallest SHA-256."""
    texts = [row["text"] for row in _jsonl_zst(corpora / "generated_stories" / "stories.jsonl.zst")]
    held_out = set(sorted(texts, key=_digest)[:N_HELD_OUT_STORIES])
    return Stories([t for t in texts if t not in held_out], [t for t in texts if t in held_out])


def read_test_stories(corpora: Path) -> list[str]:
    """1,000 real TinyStories. Never trained on."""
    return json.loads((corpora / "tinystories" / "tinystories_1000.json").read_text(encoding="utf-8"))


def read_test_wikitext(corpora: Path) -> str:
    """The wikitext-2 test file, raw form. Never trained on."""
    return (corpora / "wikitext-2" / "test.txt").read_text(encoding="utf-8")


def read_wikipedia(corpora: Path) -> list[str]:
    """Articles of wikitext-2 (train chunks and validation file), as published; a chunk may begin inside an article."""
    folder = corpora / "wikitext-2"
    chunks = json.loads((folder / "wikitext_train_1000chunks.json").read_text(encoding="utf-8"))
    lines = (folder / "valid.txt").read_text(encoding="utf-8").split("\n")
    articles: list[list[str]] = [[]]
    for line in lines:
        if line.startswith(" = ") and not line.startswith(" = = "):
            articles.append([])
        articles[-1].append(line)
    return [text for text in chunks + ["\n".join(article) for article in articles] if text.strip()]


def read_medical(corpora: Path) -> list[str]:
    """Medical abstracts, without their labels."""
    text = (corpora / "medical-abstracts" / "test.csv").read_text(encoding="utf-8")
    return [row["medical_abstract"] for row in csv.DictReader(io.StringIO(text, newline=""))]


def blank_line_paragraphs(story: str) -> str:
    """A generated story as TinyStories are published: paragraphs parted by an empty line, not by a line break."""
    return "\n\n".join(paragraph.strip() for paragraph in story.split("\n") if paragraph.strip())


def misread_quotes(story: str) -> str:
    """Straight quotes replaced by UTF-8 curly quotes misread as cp1252, a defect of a few per cent of TinyStories."""
    opening = True
    out: list[str] = []
    for char in story:
        if char == '"':
            out.append("â€œ" if opening else "â€")
            opening = not opening
        else:
            out.append("â€™" if char == "'" else char)
    return "".join(out)
