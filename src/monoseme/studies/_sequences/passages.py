"""Long texts that change their topic: passages of several documents, one after the other.

A change of topic is also a change of document, and where a context ends everything before is out of sight, which is a change too.
Lengths of passages are therefore drawn, so that most borders between passages lie inside a context, and are told from those that
do not.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from monoseme.core.errors import ConfigError, CorpusError
from monoseme.core.seeds import derive_seed
from monoseme.studies._labels import asked, require_label
from monoseme.text import TextTokenizer, TokenStore

_MOST_DOCUMENTS = 20_000
"""Documents looked at: a corpus may have no end."""
_SHORTEST, _LONGEST = 0.6, 1.4
"""Of a passage, relative to the mean length."""
_LABEL_CHARACTERS = 40


class Passage(NamedTuple):
    """A piece of one document."""

    ids: tuple[int, ...]
    topic: str
    """Its domain, or else the source it comes from."""


class LongText(NamedTuple):
    """Passages one after the other."""

    passages: tuple[Passage, ...]

    @property
    def ids(self) -> list[int]:
        """All its tokens."""
        return [token for passage in self.passages for token in passage.ids]

    @property
    def starts(self) -> NDArray[np.int64]:
        """Place of the first token of each passage."""
        return np.cumsum([0, *(len(passage.ids) for passage in self.passages[:-1])])


class PassagePlan(NamedTuple):
    """How texts are put together."""

    n_texts: int
    n_passages: int
    n_tokens: int
    """Of a passage, on average."""
    label: str
    """Field of the corpus that says what a document is about."""
    heldout_only: bool
    seed: int


class _Candidate(NamedTuple):
    document: int
    topic: str
    source: int


def sampled_texts(store: TokenStore, plan: PassagePlan) -> list[LongText]:
    """Texts of documents that come once each, neighbouring passages of different topics; fewer texts where documents run out.

    Raises CorpusError where there is not even one, ConfigError where no document has the label.
    """
    rng = np.random.default_rng(derive_seed(plan.seed, "passages"))
    candidates = list(_candidates(store, plan))
    if candidates and asked(plan.label) is not None:
        require_label(store, plan.label, (candidate.topic for candidate in candidates))
    left = _by_topic(candidates, rng)
    found: list[LongText] = []
    while len(found) < plan.n_texts and (chosen := _choose(left, plan.n_passages, rng)) is not None:
        lengths = rng.integers(round(_SHORTEST * plan.n_tokens), round(_LONGEST * plan.n_tokens) + 1, plan.n_passages)
        cut = [tuple(store.document(c.document)[:n].tolist()) for c, n in zip(chosen, lengths, strict=True)]
        found.append(LongText(tuple(Passage(ids, c.topic) for ids, c in zip(cut, chosen, strict=True))))
    if not found and plan.n_texts:
        raise CorpusError(
            f"the text has too few documents of {round(_SHORTEST * plan.n_tokens)} tokens for {plan.n_passages} passages.\n"
            "  Give another text with --corpus, or lower n_passages or passage_tokens."
        )
    return found


def _candidates(store: TokenStore, plan: PassagePlan) -> Iterator[_Candidate]:
    for i in range(_MOST_DOCUMENTS):
        try:
            n_tokens = len(store.document(i))
        except IndexError:
            return
        if n_tokens >= round(_SHORTEST * plan.n_tokens) and (store.is_heldout(i) or not plan.heldout_only):
            source = store.document_source(i)
            yield _Candidate(i, store.document_labels(i).get(plan.label, ""), source)


def _by_topic(found: Sequence[_Candidate], rng: np.random.Generator) -> dict[str, list[_Candidate]]:
    """Documents of each topic in an order drawn; by source where all are of one topic, one by one where all are of one source."""
    if len({c.topic for c in found}) < 2:
        found = [c._replace(topic=f"source {c.source}") for c in found]
    if len({c.topic for c in found}) < 2:
        found = [c._replace(topic=f"document {c.document}") for c in found]
    left: dict[str, list[_Candidate]] = {}
    for i in rng.permutation(len(found)):
        left.setdefault(found[i].topic, []).append(found[i])
    return left


def _choose(left: dict[str, list[_Candidate]], n: int, rng: np.random.Generator) -> list[_Candidate] | None:
    """Takes n documents, no two neighbours of one topic; None, with nothing taken, where that cannot be."""
    chosen: list[_Candidate] = []
    while len(chosen) < n:
        topics = [topic for topic, held in left.items() if held and (not chosen or topic != chosen[-1].topic)]
        if not topics:
            for candidate in chosen:
                left[candidate.topic].append(candidate)
            return None
        n_left = np.array([len(left[topic]) for topic in topics], dtype=np.float64)
        chosen.append(left[topics[rng.choice(len(topics), p=n_left / n_left.sum())]].pop())
    return chosen


def text_of_files(paths: Sequence[Path], tokenizer: TextTokenizer, *, marker: str | None) -> LongText:
    """A user's text: the passages of one file, parted by a line `marker` (None: by blank lines), or one file for each passage.

    Raises CorpusError for a file that cannot be read, ConfigError for fewer than two passages.
    """
    texts = [_read(path) for path in paths]
    parts = texts if len(texts) > 1 else _passages(texts[0], marker)
    kept = [part.strip() for part in parts if part.strip()]
    if len(kept) < 2:
        between = "a blank line" if marker is None else f'a line "{marker}"'
        raise ConfigError(
            f"{paths[0]} has one passage only, so nothing changes in it.\n"
            f"  Part its passages by {between}, choose the line with --marker, or give a file for each passage."
        )
    names = [path.stem for path in paths] if len(paths) > 1 else [_opening(part) for part in kept]
    encoded = tokenizer.encode_batch([part + "\n\n" for part in kept])
    return LongText(tuple(Passage(tuple(ids), name) for ids, name in zip(encoded, names, strict=True)))


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CorpusError(f"{path} cannot be read as text: {error}") from error


def _passages(text: str, marker: str | None) -> list[str]:
    parts: list[list[str]] = [[]]
    for line in text.split("\n"):
        if line.strip() == ("" if marker is None else marker):
            parts.append([])
        else:
            parts[-1].append(line)
    return ["\n".join(part) for part in parts]


def _opening(text: str) -> str:
    """The first words, as a name."""
    words = " ".join(text.split())
    return words if len(words) <= _LABEL_CHARACTERS else words[: _LABEL_CHARACTERS - 1] + "…"
