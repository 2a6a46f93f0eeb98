"""Documents to token ids: tokenised in batches, filtered by length, cut into sections."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from monoseme.core.display import get_display
from monoseme.core.errors import BadRowError
from monoseme.text.chat import Rendered, render
from monoseme.text.config import CorpusConfig
from monoseme.text.document import MAX_PLACES_TOLD, ROLES, CorpusFacts, Document, Turn, role_code
from monoseme.text.tokenizer import Encoded, TextTokenizer

_BATCH_CHARS = 1 << 20
_BATCH_DOCUMENTS = 1024
_TEMPLATE = ROLES.index("template")

Ids = NDArray[np.uint32]


class Tokens(NamedTuple):
    """The tokens of one document or section; `roles` (codes in `ROLES`) and `turns` for conversations only, else None."""

    ids: Ids
    roles: NDArray[np.int8] | None = None
    turns: NDArray[np.int16] | None = None

    def cut(self, start: int, stop: int) -> "Tokens":
        """Tokens [start, stop)."""
        return Tokens(*(None if part is None else part[start:stop] for part in self))  # pyright: ignore[reportArgumentType]


class Section(NamedTuple):
    """A stretch of a document that counts as a document from here on. `row` is the row of the corpus that it is cut from."""

    tokens: Tokens
    source: str
    labels: Mapping[str, str]
    row: int


def read_sections(
    documents: Iterator[Document], config: CorpusConfig, tokenizer: TextTokenizer, facts: CorpusFacts
) -> Iterator[Section]:
    """The sections of the documents, in their order. Raises what `documents` raises, BadRowError under `strict`."""
    drops_bos = config.bos != "never"
    for batch in _batches(documents):
        for document, found in _tokenised(batch, config, tokenizer, facts):
            # Packing puts a BOS before each document; one that a chat template or the text itself brings would be a second.
            tokens = found.cut(1, len(found.ids)) if drops_bos and _begins_with(found.ids, tokenizer.bos_id) else found
            if not len(tokens.ids) or len(tokens.ids) < config.min_tokens:
                facts.n_short += 1
                continue
            if config.truncate_tokens is not None:
                tokens = tokens.cut(0, config.truncate_tokens)
            for part in _sections(tokens, config.section_tokens):
                yield Section(part, document.source, document.labels, document.row)


def _begins_with(ids: Ids, bos_id: int | None) -> bool:
    return bos_id is not None and len(ids) > 0 and int(ids[0]) == bos_id


def _batches(documents: Iterator[Document]) -> Iterator[list[Document]]:
    """About a million characters at a time: enough to keep the tokenizer's threads busy, little enough to hold."""
    batch: list[Document] = []
    n_chars = 0
    for document in documents:
        batch.append(document)
        n_chars += len(document.text) + sum(len(turn.content) for turn in document.turns or ())
        if n_chars >= _BATCH_CHARS or len(batch) >= _BATCH_DOCUMENTS:
            yield batch
            batch, n_chars = [], 0
    if batch:
        yield batch


def _tokenised(
    batch: Sequence[Document], config: CorpusConfig, tokenizer: TextTokenizer, facts: CorpusFacts
) -> Iterator[tuple[Document, Tokens]]:
    if config.chat == "none":
        for document, ids in zip(batch, tokenizer.encode_batch([d.text for d in batch]), strict=True):
            yield document, Tokens(np.asarray(ids, dtype=np.uint32))
        return
    template = _template(config, tokenizer)
    rendered = [(document, render(document.turns or (), template)) for document in batch]
    for document, found in rendered:
        if found is None:
            _tell_altered(document, config, facts)
    kept = [(document, found) for document, found in rendered if found is not None]
    encoded = tokenizer.encode_with_offsets([found.text for _, found in kept])
    for (document, found), tokens in zip(kept, encoded, strict=True):
        yield document, _with_roles(tokens, found, document.turns or ())


def _template(config: CorpusConfig, tokenizer: TextTokenizer) -> Callable[[Sequence[Turn]], str]:
    return lambda turns: tokenizer.chat_text(turns, config.chat_template)


def _tell_altered(document: Document, config: CorpusConfig, facts: CorpusFacts) -> None:
    place = f"{document.source}: the chat template alters what the turns say, so roles cannot be told apart"
    if config.strict:
        raise BadRowError(place)
    facts.n_bad += 1
    if len(facts.bad_places) < MAX_PLACES_TOLD:
        facts.bad_places.append(place)
        get_display().warn(f"skipped {place}")


def _with_roles(encoded: Encoded, rendered: Rendered, turns: Sequence[Turn]) -> Tokens:
    """Each token with the turn whose content it touches; tokens of the template belong to the turn that comes next."""
    n = len(encoded.ids)
    roles = np.full(n, _TEMPLATE, dtype=np.int8)
    numbers = np.full(n, max(len(turns) - 1, 0), dtype=np.int16)
    place = 0
    for i, (start, stop) in enumerate(encoded.offsets):
        while place < len(rendered.spans) and start >= rendered.spans[place].stop:
            place += 1
        if place < len(rendered.spans):
            span = rendered.spans[place]
            numbers[i] = span.turn
            if stop > span.start:
                roles[i] = role_code(turns[span.turn].role)
    return Tokens(np.asarray(encoded.ids, dtype=np.uint32), roles, numbers)


def _sections(tokens: Tokens, most: int) -> Iterator[Tokens]:
    """Equal sections (their lengths differ by one at most): a cut every `most` tokens would leave stubs at the ends."""
    n = len(tokens.ids)
    n_sections = -(-n // most)
    for i in range(n_sections):
        yield tokens.cut(i * n // n_sections, (i + 1) * n // n_sections)
