"""A text, an SAE and a model small enough to work out by hand: each latent fires on tokens that a table says."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor

from monoseme.atlas import Target, TextNames, explain_latents, open_atlas, scan, score_explanations
from monoseme.models.site import Site
from monoseme.saes import SAE, Codes
from monoseme.saes._base import Roles, View
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

    @property
    def roles(self) -> Tensor:
        return torch.zeros_like(self.tokens, dtype=torch.int8)

    @property
    def turns(self) -> Tensor:
        return torch.zeros_like(self.tokens, dtype=torch.int16)


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
class FakeSAE:
    """Latent f is coordinate f of x where that is positive; its part "high" is all of it, others are empty."""

    n_latents: int
    learns_from: ClassVar[View] = "tokens"
    reads: ClassVar[View] = "tokens"
    codes_per_site: ClassVar[bool] = False
    W_dec: Tensor = field(init=False)
    roles = SAE.roles
    encode_contexts = SAE.encode_contexts

    def __post_init__(self) -> None:
        self.W_dec = torch.eye(self.n_latents)

    @property
    def d_in(self) -> int:
        return self.n_latents

    def encode(self, x: Tensor, state: Any = None) -> Codes:
        code = SparseCodes.from_dense(x.clamp(min=0))
        return Codes({"all": code, "high": code})

    def decode(self, codes: Codes) -> Tensor:
        return codes.dense() @ self.W_dec

    def state_dict(self) -> dict[str, Tensor]:
        return {"W_dec": self.W_dec}


class FakeContextSAE(FakeSAE):
    """Latent f is the largest coordinate f so far in the context, masked positions left out."""

    learns_from: ClassVar[View] = "contexts"
    reads: ClassVar[View] = "contexts"

    def encode_contexts(self, x: Tensor, mask: Tensor) -> Codes:
        return Codes({"all": SparseCodes.from_dense(x.where(mask[..., None], 0.0).clamp(min=0).cummax(1).values)})


class FakeLayersSAE(FakeSAE):
    """Latent f is coordinate f at each of its sites."""

    learns_from: ClassVar[View] = "layers"
    reads: ClassVar[View] = "layers"
    codes_per_site: ClassVar[bool] = True

    @classmethod
    def roles(cls, n_sites: int) -> Roles:
        return Roles(tuple(range(n_sites)), tuple(range(n_sites)))


class FakeCrosscoder(FakeLayersSAE):
    """Latent f is the sum of coordinate f over sites, and writes to each of them."""

    codes_per_site: ClassVar[bool] = False

    def encode(self, x: Tensor, state: Any = None) -> Codes:
        return super().encode(x.sum(-2))


class FakeTranscoder(FakeSAE):
    """From the first of two sites to the second."""

    learns_from: ClassVar[View] = "layers"

    @classmethod
    def roles(cls, n_sites: int) -> Roles:
        return Roles((0,), (1,))


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


def planted_source() -> FakeSource:
    """Latent 0 fires on " cat", 1 after " the", 2 never, 3 and 4 at random (30 %)."""
    source = random_source(n_blocks=7, n_contexts=11, seq_len=17, n_latents=5, n_documents=23, seed=0)
    for block in source.given:
        x = block.activations[SITE]
        x[..., 0] = (block.tokens == 2) * 2.5
        x[..., 1:3] = 0
        is_same = block.documents[:, 1:] == block.documents[:, :-1]
        x[:, 1:, 1] = ((block.tokens[:, :-1] == 1) & is_same) * 1.0
    return source


def planted_model(*, norm: str = "rms") -> FakeModel:
    draw = torch.Generator().manual_seed(3)
    return FakeModel(torch.randn(5, len(WORDS), generator=draw), torch.linspace(0.5, 2.0, 5), norm)


def planted_atlas(folder: Path) -> None:
    """Scan, explain and score the planted source as "topk"."""
    names = TextNames(sources={0: "stories", 1: '<img src="x">'}, labels=lambda i: {"domain": f"d{i % 2}"})
    scan(planted_source(), [Target("topk", FakeSAE(5), (SITE,))], folder, model=planted_model(), names=names)
    atlas = open_atlas(folder)
    explain_latents(atlas, "topk")
    score_explanations(atlas, "topk")
