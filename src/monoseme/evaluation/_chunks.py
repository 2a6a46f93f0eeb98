"""Contexts of a source, cut into chunks of a fixed number of contexts whatever the blocks' size.

Some peers' metrics depend on their batches, so a chunk is such a batch; it also bounds memory.
Letters: C contexts of a chunk, S positions, D width, T unmasked tokens of the chunk.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import torch

from monoseme.tensors.shapes import Bool, Float, Int, Tensor

if TYPE_CHECKING:
    from monoseme.activations import ActivationSource, Block
    from monoseme.models import Site


class TokenChunk(NamedTuple):
    """C whole contexts, without activations."""

    tokens: Int[Tensor, "C S"]
    mask: Bool[Tensor, "C S"]
    """True where a token counts: real, not special, kept by the source's filters. An SAE touches these positions only."""
    real: Bool[Tensor, "C S"]
    """True where there is a token at all; the model attends to these."""
    documents: Int[Tensor, "C S"]


class Chunk(NamedTuple):
    """C whole contexts with their activations per site."""

    text: TokenChunk
    activations: "Mapping[Site, Float[Tensor, 'C S D']]"


def chunks(source: "ActivationSource", sites: "Sequence[Site]", *, n_contexts: int, max_tokens: int | None) -> Iterator[Chunk]:
    """Chunks of `n_contexts` contexts in the source's order; only the last may be smaller.

    Stops before the chunk that would bring the unmasked tokens above `max_tokens` (the first chunk always comes).
    """
    n_tokens = 0
    for chunk in _regrouped(source, sites, n_contexts):
        n_tokens += int(chunk.text.mask.sum())
        if max_tokens is not None and n_tokens > max_tokens and n_tokens > int(chunk.text.mask.sum()):
            return
        yield chunk


def _regrouped(source: "ActivationSource", sites: "Sequence[Site]", n_contexts: int) -> Iterator[Chunk]:
    waiting: list[Chunk] = []
    for block in source.blocks():
        waiting.append(_of_block(block, sites))
        held = _joined(waiting)
        n_held = held.text.tokens.shape[0]
        n_whole = n_held - n_held % n_contexts
        yield from (_rows(held, start, start + n_contexts) for start in range(0, n_whole, n_contexts))
        waiting = [_rows(held, n_whole, n_held)] if n_whole < n_held else []
    yield from waiting


def _of_block(block: "Block", sites: "Sequence[Site]") -> Chunk:
    text = TokenChunk(block.tokens, block.mask, block.real, block.documents)
    return Chunk(text, {site: block.activations[site] for site in sites})


def _joined(pieces: list[Chunk]) -> Chunk:
    if len(pieces) == 1:
        return pieces[0]
    text = TokenChunk(*(torch.cat(column) for column in zip(*(piece.text for piece in pieces), strict=True)))
    return Chunk(text, {site: torch.cat([piece.activations[site] for piece in pieces]) for site in pieces[0].activations})


def _rows(chunk: Chunk, start: int, stop: int) -> Chunk:
    text = TokenChunk(*(column[start:stop] for column in chunk.text))
    return Chunk(text, {site: x[start:stop] for site, x in chunk.activations.items()})


class DocumentRows(NamedTuple):
    """Which document each of T rows belongs to."""

    ids: list[int]
    """M distinct document ids."""
    row: Int[Tensor, " T"]
    """Index into `ids` per row."""

    def sums(self, per_row: Float[Tensor, "T *rest"]) -> Float[Tensor, "M *rest"]:
        """Sums of the rows of each document, float64."""
        made = per_row.new_zeros((len(self.ids), *per_row.shape[1:]), dtype=torch.float64)
        return made.index_add_(0, self.row.to(per_row.device), per_row.to(torch.float64))


def document_rows(documents: Int[Tensor, " T"]) -> DocumentRows:
    """Groups rows by document."""
    ids, row = torch.unique(documents, return_inverse=True)
    return DocumentRows([int(d) for d in ids.tolist()], row)
