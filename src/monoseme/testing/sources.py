"""Sources of activations without a language model, for tests and trials. Letters: n contexts, S positions, D width."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch

from monoseme.activations.block import Block
from monoseme.activations.source import SourceSeconds, iterate_blocks
from monoseme.core.errors import ConfigError
from monoseme.core.seeds import generator
from monoseme.models.site import Site
from monoseme.tensors.shapes import Bool, Float, Int, Tensor


class TensorSource:
    """Activations that are already there. What is not given is made up: token ids count up, each context is a document."""

    def __init__(
        self,
        activations: Mapping[Site, Float[Tensor, "n S _"]],
        *,
        tokens: Int[Tensor, "n S"] | None = None,
        mask: Bool[Tensor, "n S"] | None = None,
        documents: Int[Tensor, "n S"] | None = None,
        contexts_per_block: int = 4,
    ) -> None:
        """`mask` None lets everything through; positions count within each document of a context.

        Raises ConfigError for tensors whose contexts or positions differ in number.
        """
        self._activations = dict(activations)
        shape = next(iter(self._activations.values())).shape[:2]
        self._tokens = torch.arange(shape.numel()).reshape(shape) if tokens is None else tokens
        self._mask = torch.ones(shape, dtype=torch.bool) if mask is None else mask
        self._documents = torch.arange(shape[0]).unsqueeze(1).expand(shape) if documents is None else documents
        for tensor in (*self._activations.values(), self._tokens, self._mask, self._documents):
            if tensor.shape[:2] != shape:
                raise ConfigError(f"all tensors must have [n, S] = {tuple(shape)}, not {tuple(tensor.shape[:2])}")
        self._positions = _places_in_documents(self._documents)
        self._contexts_per_block = contexts_per_block
        self.sites = tuple(self._activations)
        self.widths: Mapping[Site, int] = {site: int(x.shape[2]) for site, x in self._activations.items()}
        self.seconds = SourceSeconds()

    @property
    def n_blocks(self) -> int:
        """Blocks; the last may have fewer contexts."""
        return -(-len(self._tokens) // self._contexts_per_block)

    any_order = False  # in order, as a live source: what a test expects is then easily said

    def order(self, seed: int, epoch: int) -> None:
        """From the first to the last."""

    def will_need(self, blocks: Sequence[int]) -> None:
        """Nothing: all are there."""

    @property
    def spec(self) -> dict[str, Any]:
        """Sizes only: whoever made the tensors knows what they are."""
        shape = list(self._tokens.shape)
        return {"kind": "tensors", "sites": [str(site) for site in self.sites], "shape": shape}

    def has_block(self, i: int) -> bool:
        """Whether there is a block i."""
        return 0 <= i < self.n_blocks

    def block(self, i: int) -> Block:
        """Block i. Raises IndexError if there is none."""
        if not self.has_block(i):
            raise IndexError(f"no block {i} of {self.n_blocks}")
        rows = slice(i * self._contexts_per_block, (i + 1) * self._contexts_per_block)
        documents = self._documents[rows]
        return Block(
            tokens=self._tokens[rows],
            mask=self._mask[rows],
            real=documents >= 0,
            documents=documents,
            sources=documents,
            positions=self._positions[rows],
            roles=torch.zeros(documents.shape, dtype=torch.int8),
            turns=torch.zeros(documents.shape, dtype=torch.int16),
            activations={site: x[rows] for site, x in self._activations.items()},
            index=i,
        )

    def blocks(self, start: int = 0) -> Iterator[Block]:
        """The blocks from `start` to the last."""
        return iterate_blocks(self, start)


def random_source(
    *,
    sites: tuple[Site, ...],
    n_contexts: int = 11,
    context_len: int = 13,
    width: int = 7,
    seed: int = 0,
    contexts_per_block: int = 4,
) -> TensorSource:
    """Gaussian activations; documents of one to seven tokens, each within a context; about a tenth of the tokens masked."""
    rng = generator(seed, "random_source")
    shape = (n_contexts, context_len)
    activations = {site: torch.randn(*shape, width, generator=rng) for site in sites}
    starts = torch.rand(shape, generator=rng) < 0.25
    starts[:, 0] = True
    starts[:, ::7] = True
    documents = starts.flatten().cumsum(0).reshape(shape) - 1
    mask = torch.rand(shape, generator=rng) > 0.1
    return TensorSource(activations, documents=documents, mask=mask, contexts_per_block=contexts_per_block)


def _places_in_documents(documents: Int[Tensor, "n S"]) -> Int[Tensor, "n S"]:
    """Place of each token in its document's stretch of the context, from 0; -1 on padding."""
    index = torch.arange(documents.shape[1]).expand(documents.shape)
    starts = torch.ones_like(documents, dtype=torch.bool)
    starts[:, 1:] = documents[:, 1:] != documents[:, :-1]
    first = torch.where(starts, index, 0).cummax(dim=1).values
    return torch.where(documents >= 0, index - first, -1)
