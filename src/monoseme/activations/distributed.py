"""A live source whose forwards several processes divide; each then holds the same whole blocks.

The forwards are those of one process, so the bits are too, and so is the order of the data for any number of processes. What goes
round is B x D numbers for each batch of B tokens; the gradients of an SAE with F latents are 2 x F x D, and adding them up moves
them twice: for batches of 4,096 tokens and 65,536 latents, activations are a sixty-fourth of the traffic.

Letters: n contexts, S positions, D width.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch

from monoseme.activations.block import Block
from monoseme.activations.live import LiveSource
from monoseme.activations.wrapped import WrappedSource
from monoseme.models.site import Site
from monoseme.tensors.processes import Group
from monoseme.tensors.shapes import Tensor
from monoseme.text.block import TokenBlock


class _Piece(NamedTuple):
    """One forward."""

    text: TokenBlock
    rows: slice


class DistributedSource(WrappedSource):
    """Wraps a live source: all processes ask for the same blocks in the same order.

    Where a block has fewer forwards than there are processes, as many blocks as keep all busy are made together, and the later
    ones wait in memory until they are asked for.
    """

    def __init__(self, source: LiveSource, processes: Group) -> None:
        """In a thread that makes blocks ahead, `processes` must have connections of its own (`Group.twin`)."""
        super().__init__(source)
        self._live = source
        self._processes = processes
        self._made: dict[int, Block] = {}

    def block(self, i: int) -> Block:
        """Block i. Raises IndexError if there is none, and what the model raises."""
        if i not in self._made:
            self._made = self._make(i)
        return self._made.pop(i)

    def _make(self, first: int) -> dict[int, Block]:
        """Block `first`, and after it as many as it takes for each process to have a forward."""
        texts = {first: self._live.text(first)}
        pieces = self._pieces(texts[first])
        while len(pieces) < self._processes.size and self.has_block(first + len(texts)):
            text = self._live.text(first + len(texts))
            texts[first + len(texts)] = text
            pieces += self._pieces(text)
        whole = self._gathered(pieces)
        blocks: dict[int, Block] = {}
        done = 0
        for i, text in texts.items():
            found = {site: x[done : done + text.n_contexts] for site, x in whole.items()}
            blocks[i] = self._live.filtered(text, found, index=i)
            done += text.n_contexts
        return blocks

    def _pieces(self, text: TokenBlock) -> list[_Piece]:
        return [_Piece(text, rows) for rows in self._live.forwards(text)]

    def _gathered(self, pieces: Sequence[_Piece]) -> Mapping[Site, Tensor]:
        """The activations [n, S, D] of all pieces, of which this process runs its part."""
        own = [self._live.run(text, [rows]) for text, rows in pieces[self._processes.part_of(len(pieces))]]
        example = own[0] if own else self._live.run(*_smallest(pieces[0]))  # one without a piece must know what it receives
        found: dict[Site, Tensor] = {}
        for site in self.sites:
            here = torch.cat([piece[site] for piece in own]) if own else example[site][:0]
            found[site] = torch.cat(self._processes.gather_rows(here))
        return found


def _smallest(piece: _Piece) -> tuple[TokenBlock, list[slice]]:
    return piece.text, [slice(piece.rows.start, piece.rows.start + 1)]
