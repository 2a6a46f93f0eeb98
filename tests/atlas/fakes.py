"""A text, an SAE and a model small enough to work out by hand: each latent fires on tokens that a table says."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor

from monoseme.models.site import Site
from monoseme.tensors.sparse import SparseCodes

SITE = Site.parse("resid_post.1")
WORDS = ("<bos>", " the", " cat", " dog", " sat", ".", "\n", "<script>", ' "', "\x07", "\udc80", " ran", " a")


class FakeBlock(NamedTuple):
    """One block of contexts."""

    tokens: Tensor
    mask: Tensor
    documents: Tensor
    positions: Tensor
    sources: Tensor
    activations: dict[Site, Tensor]


def make_block(tokens: Tensor, documents: Tensor, positions: Tensor, x: Tensor, *, masked: int = 0) -> FakeBlock:
    """A block in which token id `masked` never reaches an SAE; documents 2i and 2i + 1 come from source i."""
    sources = torch.where(documents >= 0, documents // 2, -1)
    return FakeBlock(tokens, (tokens != masked) & (documents >= 0), documents, positions, sources, {SITE: x})


@dataclass
class FakeSource:
    """Given blocks in order."""

    given: Sequence[FakeBlock]
    sites: tuple[Site, ...] = (SITE,)

    @property
    def n_blocks(self) -> int:
        return len(self.given)

    @property
    def spec(self) -> dict[str, str]:
        return {"kind": "fake"}

    def blocks(self, start: int = 0) -> Iterator[FakeBlock]:
        yield from self.given[start:]


@dataclass
class FakeCodes:
    """The positive entries of a matrix."""

    dense: Tensor

    def sparse(self, name: str | None = None) -> SparseCodes:
        return SparseCodes.from_dense(self.dense if name is None else self.dense * (name == "high"))


@dataclass
class FakeSAE:
    """Latent f is coordinate f of x where that is positive."""

    n_latents: int
    reads: str = "tokens"
    W_dec: Tensor = field(init=False)

    def __post_init__(self) -> None:
        self.W_dec = torch.eye(self.n_latents)

    def encode(self, x: Tensor) -> FakeCodes:
        return FakeCodes(x.clamp(min=0))

    def state_dict(self) -> dict[str, Tensor]:
        return {"W_dec": self.W_dec}


class FakeSpec(NamedTuple):
    vocab_size: int
    norm: str


@dataclass
class FakeModel:
    """Unembeds with a given matrix and scale."""

    w_u: Tensor
    gamma: Tensor
    norm: str = "rms"

    @property
    def spec(self) -> FakeSpec:
        return FakeSpec(self.w_u.shape[1], self.norm)

    def unembedding(self) -> Tensor:
        return self.w_u

    def final_norm_scale(self) -> Tensor:
        return self.gamma

    def decode_tokens(self, ids: Sequence[int]) -> list[str]:
        return [WORDS[i] if i < len(WORDS) else f"w{i}" for i in ids]

    def content_hash(self) -> str:
        return "sha256:fake"


def random_source(
    *, n_blocks: int, n_contexts: int, seq_len: int, n_latents: int, n_documents: int, seed: int, sparsity: float = 0.7
) -> FakeSource:
    """Random tokens in documents of equal length, packed into contexts that begin with token 0; rare ties of values."""
    draw = torch.Generator().manual_seed(seed)
    total = n_blocks * n_contexts * (seq_len - 1)
    length = -(-total // n_documents)
    blocks, at = [], 0
    for _ in range(n_blocks):
        shape = (n_contexts, seq_len)
        tokens = torch.randint(1, len(WORDS), shape, generator=draw)
        tokens[:, 0] = 0
        place = at + torch.arange(n_contexts * (seq_len - 1)).reshape(n_contexts, seq_len - 1)
        at += place.numel()
        documents, positions = torch.empty(shape, dtype=torch.int64), torch.full(shape, -1)
        documents[:, 1:], positions[:, 1:] = place // length, place % length
        documents[:, 0] = documents[:, 1]
        x = torch.randint(1, 40, (*shape, n_latents), generator=draw).float() / 8
        x[torch.rand(x.shape, generator=draw) < sparsity] = 0
        blocks.append(make_block(tokens, documents, positions, x))
    return FakeSource(blocks)
