"""The tokens that a map shows: the last ones of many documents, what each is labelled with, and their codes.

Source of the choice: T-SAE's code (last tokens of each document, so that each has its context before it), arXiv:2511.05541.
Letters: N tokens of the map, F latents.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from monoseme.core.errors import ConfigError, CorpusError
from monoseme.core.seeds import derive_seed
from monoseme.evaluation._csr import Csr
from monoseme.studies._labels import asked, require_label
from monoseme.studies._texts import CodedText, Ids, coded_texts
from monoseme.studies._workbench import Workbench
from monoseme.text import TextTokenizer, TokenStore
from monoseme.text.tagged import TaggedText, align, spacy_pipeline, tag_texts

_MOST_DOCUMENTS = 20_000
"""Documents looked at: a corpus may have no end."""
_AROUND = 10
"""Tokens before a token that its tooltip shows."""
_LONGEST = 90
"""Characters of that."""


class MapDocument(NamedTuple):
    """One document of the map."""

    ids: Ids
    source: str
    """What it comes from: tokens of one source are not independent."""
    label: str | None
    """Class; None where it has none."""
    tags: Sequence[str | None] | None = None
    """Of each of its tokens."""


class Choice(NamedTuple):
    """Which documents."""

    n_documents: int
    most_tokens: int
    """Of a document, its last ones: as many as fit one context."""
    least_tokens: int
    label: str
    most_classes: int
    heldout_only: bool
    seed: int


def documents_of(store: TokenStore, choice: Choice) -> list[MapDocument]:
    """Documents of the corpus, as many of each of its most frequent classes, of as many sources as there are.

    Raises CorpusError where none is long enough, ConfigError where none has the label.
    """
    found = list(_candidates(store, choice))
    if found and asked(choice.label) is not None:
        require_label(store, choice.label, (document.label for _, document in found))
    frequent = [label for label, _ in Counter(document.label for _, document in found if document.label).most_common()]
    kept = set(frequent[: choice.most_classes]) or {None}
    by_class: dict[str | None, list[tuple[int, MapDocument]]] = {}
    rng = np.random.default_rng(derive_seed(choice.seed, "documents"))
    for place in rng.permutation(len(found)):
        if (document := found[place])[1].label in kept:
            by_class.setdefault(document[1].label, []).append(document)
    queues = [_new_sources_first(held) for _, held in sorted(by_class.items(), key=lambda item: str(item[0]))]
    chosen = list(_in_turns(queues))[: choice.n_documents]
    if not chosen:
        raise CorpusError(
            f"the text has no document of at least {choice.least_tokens} tokens.\n  Give another one with --corpus."
        )
    return [document._replace(ids=store.document(i)[-choice.most_tokens :]) for i, document in chosen]


def _candidates(store: TokenStore, choice: Choice) -> Iterator[tuple[int, MapDocument]]:
    for i in range(_MOST_DOCUMENTS):
        try:
            n_tokens = len(store.document(i))
        except IndexError:
            return
        if n_tokens >= choice.least_tokens and (store.is_heldout(i) or not choice.heldout_only):
            label = store.document_labels(i).get(choice.label)
            yield i, MapDocument((), f"source {store.document_source(i)}", label)


def _new_sources_first(held: Sequence[tuple[int, MapDocument]]) -> list[tuple[int, MapDocument]]:
    """The first document of each source, then the second of each, and so on."""
    seen: Counter[str] = Counter()
    turns: list[int] = []
    for _, document in held:
        turns.append(seen[document.source])
        seen[document.source] += 1
    return [held[i] for i in np.argsort(turns, kind="stable")]


def _in_turns(queues: Sequence[Sequence[Any]]) -> Iterator[Any]:
    for turn in range(max((len(queue) for queue in queues), default=0)):
        yield from (queue[turn] for queue in queues if turn < len(queue))


def tagged_documents(texts: Iterable[TaggedText], tokenizer: TextTokenizer, choice: Choice) -> list[MapDocument]:
    """Texts with tagged words as documents, in an order drawn, each token with the tag of its word.

    Raises CorpusError where none is long enough.
    """
    held = list(texts)
    encoded = tokenizer.encode_with_offsets([each.text for each in held])
    found: list[MapDocument] = []
    for i in np.random.default_rng(derive_seed(choice.seed, "documents")).permutation(len(held)):
        ids, tags = encoded[i].ids, [each and each.tag for each in align(held[i].text, encoded[i].offsets, held[i].words)]
        if len(ids) >= choice.least_tokens:
            found.append(MapDocument(ids[-choice.most_tokens :], held[i].source, None, tags[-choice.most_tokens :]))
    if not found:
        raise CorpusError(f"no tagged text has {choice.least_tokens} tokens.\n  Give another file with --tags.")
    return found[: choice.n_documents]


def with_tagger(documents: Sequence[MapDocument], store: TokenStore, decode: Any, *, pipeline: str) -> list[MapDocument]:
    """The same documents with tags from a spaCy pipeline; read anew from their text, by whose characters tags are told.

    Raises ExtraMissingError without spaCy.
    """
    texts = [(decode(document.ids), document.source) for document in documents]
    made: list[MapDocument] = []
    for document, tagged in zip(documents, tag_texts(texts, spacy_pipeline(pipeline)), strict=True):
        (encoded,) = store.tokenizer.encode_with_offsets([tagged.text])
        tags = [each and each.tag for each in align(tagged.text, encoded.offsets, tagged.words)]
        made.append(document._replace(ids=encoded.ids[-len(document.ids) :], tags=tags[-len(document.ids) :]))
    return made


class MapTokens(NamedTuple):
    """The tokens of the map in an order drawn, so that no neighbour is preferred for its place in a list."""

    codes: Mapping[str, Csr]
    """Subject -> [N, F]."""
    document: NDArray[np.int64]
    """[N] number of the document of each token."""
    source: NDArray[np.int64]
    """[N] number of its source."""
    labels: Mapping[str, list[str | None]]
    """What they can be coloured by: [N] by `document`, and by `class` and `tag` where there are such."""
    token: list[str]
    around: list[str]
    """[N] the token at the end of what stands before it."""
    n_firings: Mapping[str, NDArray[np.int64]]
    """Subject -> [F] tokens on which each latent fires, of all tokens that were read."""
    n_read: int
    """Tokens that were read to get there."""
    read: Sequence[Ids]
    """Their ids, by document."""


def tokens_of(
    bench: Workbench, documents: Sequence[MapDocument], *, last_tokens: int, most: int, site: str | None, seed: int
) -> MapTokens:
    """Codes and labels of the last tokens of each document; at most `most` of them, drawn.

    Raises ConfigError where no token is left.
    """
    parts = [_last(coded, documents[coded.text], last_tokens) for coded in _read(bench, documents, site)]
    if not parts:
        raise ConfigError("no token of these documents reaches the SAEs: all of them are special tokens")
    firings = {name: np.sum([part.n_firings[name] for part in parts], axis=0) for name in parts[0].n_firings}
    order = np.random.default_rng(derive_seed(seed, "tokens")).permutation(sum(len(part.place) for part in parts))[:most]
    document = np.concatenate([np.full(len(part.place), part.document) for part in parts])[order]
    place = np.concatenate([part.place for part in parts])[order]
    texts = {part.document: bench.model.decode_tokens(np.asarray(documents[part.document].ids).tolist()) for part in parts}
    labels: dict[str, list[str | None]] = {"document": [f"document {d}" for d in document]}
    if any(each.label is not None for each in documents):
        labels = {"class": [documents[d].label for d in document], **labels}
    if any(each.tags is not None for each in documents):
        labels["tag"] = [
            tags[p] if (tags := documents[d].tags) is not None else None for d, p in zip(document, place, strict=True)
        ]
    return MapTokens(
        codes={name: _stacked([part.codes[name] for part in parts])[order] for name in parts[0].codes},
        document=document,
        source=np.unique([documents[d].source for d in document], return_inverse=True)[1],
        labels=labels,
        token=[texts[d][p] for d, p in zip(document, place, strict=True)],
        around=[_around(texts[d], p) for d, p in zip(document, place, strict=True)],
        n_firings=firings,
        n_read=sum(part.n_read for part in parts),
        read=[each.ids for each in documents],
    )


def _stacked(codes: Sequence[Csr]) -> Csr:
    return sparse.vstack(codes, format="csr")


class _Last(NamedTuple):
    """The last tokens of one document."""

    document: int
    place: NDArray[np.int64]
    codes: dict[str, Csr]
    n_firings: dict[str, NDArray[np.int64]]
    n_read: int


def _read(bench: Workbench, documents: Sequence[MapDocument], site: str | None) -> Iterator[CodedText]:
    yield from coded_texts(bench, [document.ids for document in documents], site=site)


def _last(coded: CodedText, document: MapDocument, n: int) -> _Last:
    rows = np.flatnonzero(coded.position >= len(document.ids) - n)
    return _Last(
        coded.text,
        coded.position[rows],
        {name: code[rows] for name, code in coded.codes.items()},
        {name: np.bincount(code.indices, minlength=code.shape[1]) for name, code in coded.codes.items()},
        len(coded.position),
    )


def _around(tokens: Sequence[str], place: int) -> str:
    before = "".join(tokens[max(0, place - _AROUND) : place])
    text = f"{before}[{tokens[place]}]"
    return text if len(text) <= _LONGEST else f"…{text[-_LONGEST:]}"
