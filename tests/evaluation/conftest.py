"""Sources and SAEs that answer with given tensors, for tests of what is computed from them."""

from collections.abc import Iterator
from dataclasses import dataclass
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor

from monoseme.models.site import Site
from monoseme.saes._codes import Codes
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


class GivenSae:
    """Answers the n-th call of `encode` with the n-th of the given (codes [T, F], x_hat [T, D]), which are already masked."""

    reads = "tokens"

    def __init__(self, answers: list[tuple[Tensor, Tensor]], *, n_latents: int) -> None:
        self.n_latents = n_latents
        self._answers = list(answers)
        self._x_hat = torch.empty(0)

    def encode(self, x: Tensor) -> Codes:
        codes, self._x_hat = self._answers.pop(0)
        assert len(codes) == len(x)
        return Codes({"all": SparseCodes.from_dense(codes)})

    def decode(self, codes: Codes) -> Tensor:
        return self._x_hat


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
