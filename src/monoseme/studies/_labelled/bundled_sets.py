"""Labels that the bundled text has, so that probes have something to tell offline.

`bundled:kind`   stories, Python's language reference, and docstrings of its library: what a text is. Easy.
`bundled:hero`   stories of a girl or a boy, without the first sentence, which says so (as the biographies of SAEBench are
                 without the sentence that names the profession); its second label is where they play, at the park or at home.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

from monoseme.text import CorpusConfig, Document, read_documents

BUNDLED_SETS = ("bundled:kind", "bundled:hero")
_FIRST_SENTENCE = re.compile(r"^.*?[.!?][\"']?\s+", re.DOTALL)
_GIRL, _BOY = re.compile(r"\bgirls?\b", re.IGNORECASE), re.compile(r"\bboys?\b", re.IGNORECASE)
_PARK, _HOME = re.compile(r"\bparks?\b", re.IGNORECASE), re.compile(r"\b(?:home|house)s?\b", re.IGNORECASE)
_TOPICS = "python_docs/topics/"


class Labelled(NamedTuple):
    """A text and its class."""

    text: str
    label: str
    source: str
    """What the text comes from: never on both sides of a split."""
    second: str | None = None
    """Its class by the second label; None where it has none."""
    is_test: bool | None = None
    """Its side of the split; None where the data set has no split of its own."""


def bundled_set(name: str) -> Iterator[Labelled]:
    """The labelled texts of one of `BUNDLED_SETS`."""
    source = "bundled" if name == "bundled:kind" else "bundled:stories"
    of = _kind if name == "bundled:kind" else _hero
    for document in read_documents(CorpusConfig(source=source)):
        found = of(document)
        if found is not None:
            yield found


def _kind(document: Document) -> Labelled:
    name = "story"
    if document.labels["domain"] != "stories":
        name = "reference" if document.source.startswith(_TOPICS) else "library"
    return Labelled(document.text, name, document.source)


def _hero(document: Document) -> Labelled | None:
    first = _FIRST_SENTENCE.match(document.text)
    if first is None:
        return None
    hero = _one_of(first.group(), girl=_GIRL, boy=_BOY)
    rest = document.text[first.end() :]
    return Labelled(rest, hero, document.source, _one_of(rest, park=_PARK, home=_HOME)) if hero is not None else None


def _one_of(text: str, **patterns: re.Pattern[str]) -> str | None:
    """The one that occurs; None where none or several do."""
    found = [name for name, pattern in patterns.items() if pattern.search(text)]
    return found[0] if len(found) == 1 else None
