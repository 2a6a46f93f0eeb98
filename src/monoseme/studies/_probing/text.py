"""Excerpts: stretches of one document that fit a context, the texts of the probing study.

Each is read by the model from its beginning and alone, so that no token has another document before it.
Letters: n contexts, S positions.
"""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from monoseme.core.files import hash_bytes
from monoseme.text import TextTokenizer, TokenBlock, TokenStore
from monoseme.text.tagged import TaggedText, align

_LEAST_TOKENS = 4
"""Shorter pieces are left out: their last token knows next to nothing of a document."""


class Excerpt(NamedTuple):
    """Tokens of one document, without BOS."""

    ids: NDArray[np.uint32]
    source: int
    """Number of what the document comes from: never on both sides of a split."""
    label: str | None = None
    """Class of the document."""
    tags: tuple[str | None, ...] = ()
    """Of each token that may be probed for its tag, None for the others; empty in texts without tags."""


class Frame(NamedTuple):
    """How an excerpt stands in a context."""

    context_len: int
    """Positions of a context (S)."""
    bos_id: int | None
    """None: contexts begin without BOS."""
    pad_id: int
    hidden_ids: frozenset[int]
    """Special tokens, which SAEs do not see."""

    @property
    def room(self) -> int:
        """Tokens of text that a context has room for."""
        return self.context_len - (self.bos_id is not None)


def frame_of(store: TokenStore) -> Frame:
    """Contexts as the store's own are: their length, and whether they begin with BOS."""
    tokenizer, config = store.tokenizer, store.config
    hidden = frozenset[int]() if config.keep_special else tokenizer.special_ids
    return Frame(config.context_len, None if config.bos == "never" else tokenizer.bos_id, tokenizer.pad_id, hidden)


def excerpts_of_store(store: TokenStore, label: str, *, room: int, held_out: bool, most_tokens: int) -> Iterator[Excerpt]:
    """The documents of the store, those longer than `room` as pieces of exactly that length.

    `held_out`: only documents that no SAE learned from. Stops before the group of documents after `most_tokens`.
    """
    n_tokens = 0
    for g in itertools.count():
        if n_tokens >= most_tokens or not store.has_group(g):
            return
        group = store.groups[g]
        n_tokens += len(group.tokens.ids)
        for i in range(group.n_sections):
            if held_out and not group.heldout[i]:
                continue
            found = store.document_labels(group.first + i).get(label)
            for ids in _pieces(group.section(i).ids, room):
                yield Excerpt(ids, int(group.source[i]), found)


def _pieces(ids: NDArray[np.uint32], room: int) -> list[NDArray[np.uint32]]:
    """The whole document, or its pieces of full length: all that stand at the end of a piece stand at one position."""
    if len(ids) <= room:
        return [ids] if len(ids) >= _LEAST_TOKENS else []
    return [ids[start : start + room] for start in range(0, len(ids) - room + 1, room)]


def excerpts_of_tagged(
    texts: Iterable[TaggedText], tokenizer: TextTokenizer, *, room: int, last_only: bool, most_tokens: int
) -> Iterator[Excerpt]:
    """Texts with the tags of their tokens, cut into pieces of at most `room` tokens.

    `last_only`: of a word of several tokens, only the last is probed. Stops after `most_tokens`.
    """
    numbers: dict[str, int] = {}
    n_tokens = 0
    for tagged in texts:
        if n_tokens >= most_tokens:
            return
        (encoded,) = tokenizer.encode_with_offsets([tagged.text])
        found = align(tagged.text, encoded.offsets, tagged.words)
        tags = [tag.tag if tag is not None and (tag.is_last or not last_only) else None for tag in found]
        ids = np.asarray(encoded.ids, dtype=np.uint32)
        source = numbers.setdefault(tagged.source, len(numbers))
        n_tokens += len(ids)
        for start in range(0, len(ids), room):
            yield Excerpt(ids[start : start + room], source, tags=tuple(tags[start : start + room]))


def without_copies(excerpts: Iterable[Excerpt]) -> list[Excerpt]:
    """The first of all excerpts that are alike word for word, in their order.

    A collection may hold a text once for each of its classes; on both sides of a split, the probe would know it from training.
    """
    first: dict[bytes, Excerpt] = {}
    for excerpt in excerpts:
        first.setdefault(excerpt.ids.tobytes(), excerpt)
    return list(first.values())


class ExcerptContexts:
    """Excerpts as contexts: one each, padded, the short ones first so that forwards have little padding.

    The document of a token is the number of its excerpt, its position the place in the excerpt.
    """

    split = "all"

    def __init__(self, excerpts: Sequence[Excerpt], frame: Frame) -> None:
        self._excerpts, self._frame = excerpts, frame
        self._order = np.argsort([len(excerpt.ids) for excerpt in excerpts], kind="stable")
        self._hidden = np.array(sorted(frame.hidden_ids), dtype=np.int64)

    def __len__(self) -> int:
        """Contexts."""
        return len(self._excerpts)

    def __repr__(self) -> str:
        return f"ExcerptContexts({len(self):,} excerpts of at most {self._frame.room} tokens)"

    @property
    def context_len(self) -> int:
        """Positions of a context (S)."""
        return self._frame.context_len

    @property
    def spec(self) -> dict[str, Any]:
        """What a manifest says of them."""
        content = hash_bytes(b"\0".join(excerpt.ids.tobytes() for excerpt in self._excerpts))
        return {"kind": "excerpts", "n": len(self), "context_len": self.context_len, "content": content}

    def has(self, i: int) -> bool:
        """Whether there is a context i."""
        return 0 <= i < len(self)

    def n_blocks(self, n_contexts: int) -> int:
        """Blocks of `n_contexts` each; the last may have fewer."""
        return -(-len(self) // n_contexts)

    def block(self, i: int, n_contexts: int) -> TokenBlock:
        """Contexts [i * n_contexts, (i + 1) * n_contexts), or as many as there are. Raises IndexError if there is none."""
        if not self.has(i * n_contexts):
            raise IndexError(f"no block {i} of {n_contexts} contexts in {len(self)}")
        wanted = self._order[i * n_contexts : (i + 1) * n_contexts]
        shape = (len(wanted), self.context_len)
        tokens = np.full(shape, self._frame.pad_id, dtype=np.int64)
        positions, documents, sources = (np.full(shape, -1, dtype=np.int64) for _ in range(3))
        begin = self.context_len - self._frame.room
        for row, number in enumerate(wanted):
            excerpt = self._excerpts[number]
            end = begin + len(excerpt.ids)
            tokens[row, :begin] = self._frame.bos_id or 0  # no BOS: begin is 0
            tokens[row, begin:end] = excerpt.ids
            positions[row, begin:end] = np.arange(len(excerpt.ids))
            documents[row, :end], sources[row, :end] = number, excerpt.source
        real = documents >= 0
        mask = real & ~np.isin(tokens, self._hidden)
        return TokenBlock(
            tokens=torch.from_numpy(tokens),
            mask=torch.from_numpy(mask),
            real=torch.from_numpy(real),
            documents=torch.from_numpy(documents),
            sources=torch.from_numpy(sources),
            positions=torch.from_numpy(positions),
            roles=torch.zeros(shape, dtype=torch.int8),
            turns=torch.zeros(shape, dtype=torch.int16),
        )
