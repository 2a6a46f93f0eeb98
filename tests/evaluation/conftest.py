"""SAEs that answer with given tensors, and sources of given activations, for tests of what is computed from them."""

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from monoseme.models import Site
from monoseme.saes import SAE, Codes
from monoseme.saes._base import Roles
from monoseme.tensors.sparse import SparseCodes
from monoseme.testing.sources import TensorSource

SITE = Site("resid_post", 1)


class GivenSae:
    """Answers the n-th call of `encode` with the n-th of the given (codes [T, F], x_hat [T, D]), which are already masked.

    Codes may be a dictionary of parts, the whole first.
    """

    learns_from = reads = "tokens"
    codes_per_site = False
    roles = SAE.roles
    encode_contexts = SAE.encode_contexts
    d_in = 0

    def __init__(self, answers: Sequence[tuple[Tensor | dict[str, Tensor], Tensor]], *, n_latents: int) -> None:
        self.n_latents = n_latents
        self._answers = list(answers)
        self._x_hat = torch.empty(0)

    def encode(self, x: Tensor, state: Any = None) -> Codes:
        codes, self._x_hat = self._answers.pop(0)
        parts = codes if isinstance(codes, dict) else {"all": codes}
        assert all(len(part) == len(x) for part in parts.values())
        return Codes({name: SparseCodes.from_dense(part) for name, part in parts.items()})

    def decode(self, codes: Codes) -> Tensor:
        return self._x_hat


class GivenLayersSae(GivenSae):
    """The same with codes [T, L, F] and x_hat [T, L, D] at several sites."""

    learns_from = reads = "layers"
    codes_per_site = True

    @classmethod
    def roles(cls, n_sites: int) -> Roles:
        return Roles(tuple(range(n_sites)), tuple(range(n_sites)))


def source_of(
    x: Tensor, mask: Tensor | None = None, documents: Tensor | None = None, *, contexts_per_block: int = 4
) -> TensorSource:
    """A source of x [n, S, D] at `SITE`."""
    return TensorSource({SITE: x}, mask=mask, documents=documents, contexts_per_block=contexts_per_block)


@pytest.fixture(scope="session")
def given() -> SimpleNamespace:
    """The above, for test modules, which cannot import each other."""
    return SimpleNamespace(SITE=SITE, Sae=GivenSae, LayersSae=GivenLayersSae, source_of=source_of)
