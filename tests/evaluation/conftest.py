"""Sources and SAEs that answer with given tensors, for tests of what is computed from them."""

from collections.abc import Iterator
from dataclasses import dataclass
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor

from monoseme.models.site import Site
from monoseme.tensors.sparse import SparseCodes

SITE = Site("resid_post", 1)


@dataclass
class GivenBlock:
    """A block of contexts."""

    activations: dict[Site, Tensor]
    tokens: Tensor
    mask: Tensor
    real: Tensor
    documents: Tensor


@dataclass
class GivenSource:
    """A source of one site made of ready blocks."""

    given: list[GivenBlock]

    def blocks(self, start: int = 0) -> Iterator[GivenBlock]:
        yield from self.given[start:]


@dataclass
class GivenCodes:
    """Dense or sparse codes with a reconstruction riding along."""

    all: SparseCodes | Tensor
    x_hat: Tensor


@dataclass
class GivenSae:
    """Answers the n-th call of `encode` with the n-th of the given (codes, x_hat); both are already masked."""

    answers: list[tuple[Tensor, Tensor]]
    n_latents: int
    reads: str = "tokens"

    def encode(self, x: Tensor) -> GivenCodes:
        codes, x_hat = self.answers.pop(0)
        assert len(codes) == len(x)
        return GivenCodes(SparseCodes.from_dense(codes), x_hat)

    def decode(self, codes: GivenCodes) -> Tensor:
        return codes.x_hat


def block(x: Tensor, *, tokens: Tensor | None = None, mask: Tensor | None = None, documents: Tensor | None = None) -> GivenBlock:
    """A block of x [n, S, D]; by default everything is unmasked and each context is a document."""
    n, s = x.shape[:2]
    every = torch.ones(n, s, dtype=torch.bool)
    return GivenBlock(
        activations={SITE: x},
        tokens=torch.zeros(n, s, dtype=torch.int64) if tokens is None else tokens,
        mask=every if mask is None else mask,
        real=every,
        documents=torch.arange(n)[:, None].expand(n, s) if documents is None else documents,
    )


def source_of(x: Tensor, mask: Tensor, documents: Tensor, *, cuts: list[int]) -> GivenSource:
    """A source of x [n, S, D] in blocks that end at `cuts`."""
    pieces = zip(*(torch.tensor_split(t, cuts) for t in (x, mask, documents)), strict=True)
    return GivenSource([block(x, mask=m, documents=d) for x, m, d in pieces])


@pytest.fixture(scope="session")
def given() -> SimpleNamespace:
    """The above, for test modules, which cannot import each other."""
    return SimpleNamespace(SITE=SITE, Sae=GivenSae, Source=GivenSource, block=block, source_of=source_of)
