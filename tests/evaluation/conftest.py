"""SAEs that answer with given tensors, and sources of given activations, for tests of what is computed from them."""

from types import SimpleNamespace

import pytest
import torch
from torch import Tensor

from monoseme.models import Site
from monoseme.saes import SAE, Codes
from monoseme.tensors.sparse import SparseCodes
from monoseme.testing.sources import TensorSource

SITE = Site("resid_post", 1)


class GivenSae:
    """Answers the n-th call of `encode` with the n-th of the given (codes [T, F], x_hat [T, D]), which are already masked."""

    learns_from = reads = "tokens"
    codes_per_site = False
    roles = SAE.roles
    encode_contexts = SAE.encode_contexts
    d_in = 0

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


def source_of(
    x: Tensor, mask: Tensor | None = None, documents: Tensor | None = None, *, contexts_per_block: int = 4
) -> TensorSource:
    """A source of x [n, S, D] at `SITE`."""
    return TensorSource({SITE: x}, mask=mask, documents=documents, contexts_per_block=contexts_per_block)


@pytest.fixture(scope="session")
def given() -> SimpleNamespace:
    """The above, for test modules, which cannot import each other."""
    return SimpleNamespace(SITE=SITE, Sae=GivenSae, source_of=source_of)
