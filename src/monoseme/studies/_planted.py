"""A planted world: activations made of known directions that fire as features of language do, as a source with true structure.

| kind | how its features fire |
|---|---|
| plain | each by itself |
| correlated | in groups of four: a token that belongs to a group has each of the four with probability 1/2 |
| parent, child | a child only with its parent; the three children of a parent exclude each other |
| host, guest | a guest only with its host, which is mostly alone: an SAE is sparser if the guest's row absorbs the host |
| slow | persist over the tokens of a document (a Markov chain), with one size per document |
| wandering | at several layers: on one token around one layer, and that layer drifts along the document |

All but the wandering ones are equally strong at every layer. Sizes are 0.5 plus an exponential of mean 0.5, drawn for each token
where nothing else is said. Every layer gets the same constant offset and its own small noise. A block is a pure function of
(seed, part, index).

The pair of host and guest is the toy model of Chanin et al. 2024, arXiv:2409.14507 ("A is for absorption").
Letters: n contexts, S positions, L layers, D width, G features.
"""

import functools
import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch.nn import functional

from monoseme.activations import Block
from monoseme.activations.source import InOrder, SourceSeconds, iterate_blocks
from monoseme.core.config import to_dict
from monoseme.core.errors import ConfigError
from monoseme.core.seeds import generator
from monoseme.models import Site
from monoseme.tensors.shapes import Bool, Float, Tensor

KINDS = ("plain", "correlated", "parent", "child", "host", "guest", "slow", "wandering")
_GROUP, _CHILDREN = 4, 3
_NOISE = 0.01
_WIDTH_OF_PROFILE = 0.6
"""Standard deviation over layers of where a wandering feature is on one token."""
_LEAST_PROFILE = 0.1
"""Below this share of its full size a wandering feature counts as absent from a layer."""


@dataclass(frozen=True, kw_only=True)
class WorldConfig:
    """How many features of each kind, and the sizes of the world."""

    width: int = 48
    """Length of the activations (D)."""
    n_layers: int = 3
    """Layers, each a site (count)."""
    n_plain: int = 24
    """Features that fire independently (count)."""
    n_correlated: int = 16
    """Features that fire in groups of four (count)."""
    n_parents: int = 4
    """Parents, each with three children (count)."""
    n_hosts: int = 8
    """Hosts, each with one guest (count)."""
    n_slow: int = 12
    """Features that persist over tokens (count)."""
    n_wandering: int = 12
    """Features whose layer drifts (count)."""
    document_len: int = 32
    """Tokens of a document (count); two documents make a context."""
    contexts_per_block: int = 16
    """Contexts of a block (n)."""
    seed: int = 0
    """Of the directions and of everything that fires."""

    def __post_init__(self) -> None:
        if self.n_correlated % _GROUP:
            raise ConfigError(f"world.n_correlated is {self.n_correlated}; features come in groups of {_GROUP}")
        if min(self.width, self.n_layers, self.document_len, self.contexts_per_block) < 1:
            raise ConfigError("world.width, n_layers, document_len and contexts_per_block must be at least 1")

    @property
    def counts(self) -> dict[str, int]:
        """Kind -> features, in the order of the directions."""
        numbers = (self.n_plain, self.n_correlated, self.n_parents, self.n_parents * _CHILDREN)
        return dict(zip(KINDS, (*numbers, self.n_hosts, self.n_hosts, self.n_slow, self.n_wandering), strict=True))


class Firing(NamedTuple):
    """What is true of a block."""

    sizes: Float[Tensor, "n S L G"]
    """Size of each feature on each token at each layer; 0 where it is not there."""

    @property
    def on(self) -> Bool[Tensor, "n S L G"]:
        """Where each feature is."""
        return self.sizes > 0


class PlantedWorld:
    """The directions and how they fire."""

    def __init__(self, config: WorldConfig) -> None:
        self.config = config
        n_features = sum(config.counts.values())
        raw = torch.randn(n_features, config.width, generator=generator(config.seed, "world", "directions"))
        self.directions: Float[Tensor, "G D"] = functional.normalize(raw, dim=1)
        offset = torch.randn(config.width, generator=generator(config.seed, "world", "offset"))
        self.offset: Float[Tensor, " D"] = functional.normalize(offset, dim=0)

    def __repr__(self) -> str:
        return f"PlantedWorld({self.config!r})"

    @functools.cached_property
    def ranges(self) -> dict[str, range]:
        """Kind -> the numbers of its features."""
        ends = list(itertools.accumulate(self.config.counts.values(), initial=0))
        return {kind: range(a, b) for kind, a, b in zip(KINDS, ends, ends[1:], strict=False)}

    def source(self, part: str, *, n_blocks: int) -> "PlantedSource":
        """An independent draw of blocks; the same name gives the same bits."""
        return PlantedSource(self, part, n_blocks)

    def firing(self, part: str, i: int) -> Firing:
        """What fires in block i of that part."""
        config = self.config
        rng = generator(config.seed, "world", part, i)
        n_documents = 2 * config.contexts_per_block
        tokens = _Tokens((n_documents, config.document_len), rng)
        everywhere = torch.cat([_static(config, tokens), _slow(config.n_slow, tokens)], dim=-1)
        sizes = everywhere.unsqueeze(2).expand(-1, -1, config.n_layers, -1)
        sizes = torch.cat([sizes, _wandering(config, tokens)], dim=-1)
        return Firing(sizes.reshape(config.contexts_per_block, -1, *sizes.shape[2:]))


class _Tokens(NamedTuple):
    """The tokens to draw for: documents by positions."""

    shape: tuple[int, int]
    rng: torch.Generator

    def chance(self, n: int, p: float) -> Bool[Tensor, "m s n"]:
        return torch.rand(*self.shape, n, generator=self.rng) < p

    def sizes(self, n: int) -> Float[Tensor, "m s n"]:
        return 0.5 + torch.empty(*self.shape, n).exponential_(2.0, generator=self.rng)


def _static(config: WorldConfig, tokens: _Tokens) -> Float[Tensor, "m s G0"]:
    """Everything but slow and wandering features, in the order of `KINDS`."""
    plain = tokens.chance(config.n_plain, 0.04)
    group = tokens.chance(config.n_correlated // _GROUP, 0.12).repeat_interleave(_GROUP, dim=-1)
    correlated = group & tokens.chance(config.n_correlated, 0.5)
    parent = tokens.chance(config.n_parents, 0.2)
    which = torch.randint(0, _CHILDREN + 1, (*tokens.shape, config.n_parents), generator=tokens.rng)  # the last: no child
    child = (functional.one_hot(which, _CHILDREN + 1)[..., :_CHILDREN].bool() & parent.unsqueeze(-1)).flatten(-2)
    host = tokens.chance(config.n_hosts, 0.12)
    guest = host & tokens.chance(config.n_hosts, 0.25)
    on = torch.cat([plain, correlated, parent, child, host, guest], dim=-1)
    return on * tokens.sizes(on.shape[-1])


def _slow(n: int, tokens: _Tokens) -> Float[Tensor, "m s n"]:
    """A two-state Markov chain with 8 % of tokens on and a mean stay of 16 tokens."""
    share, leave = 0.08, 1 / 16
    draws = torch.rand(*tokens.shape, n, generator=tokens.rng)
    state = draws[:, 0] < share
    states = [state]
    for draw in draws[:, 1:].unbind(1):
        state = torch.where(state, draw >= leave, draw < leave * share / (1 - share))
        states.append(state)
    per_document = 0.5 + torch.empty(tokens.shape[0], 1, n).exponential_(2.0, generator=tokens.rng)
    return torch.stack(states, dim=1) * per_document


def _wandering(config: WorldConfig, tokens: _Tokens) -> Float[Tensor, "m s L w"]:
    """Sizes times a bump over layers whose centre walks to and fro along the document."""
    last = config.n_layers - 1
    phase = torch.rand(tokens.shape[0], 1, config.n_wandering, generator=tokens.rng)
    place = phase + torch.arange(tokens.shape[1])[None, :, None] / config.document_len
    centre = last * (2 * (place % 1.0) - 1).abs()
    distance = torch.arange(config.n_layers)[None, None, :, None] - centre.unsqueeze(2)
    profile = torch.exp(-0.5 * (distance / _WIDTH_OF_PROFILE) ** 2)
    profile = torch.where(profile < _LEAST_PROFILE, 0.0, profile)
    on = tokens.chance(config.n_wandering, 0.08)
    return (on * tokens.sizes(config.n_wandering)).unsqueeze(2) * profile


class PlantedSource(InOrder):
    """Blocks of a planted world; token ids count up, every document is its own source."""

    def __init__(self, world: PlantedWorld, part: str, n_blocks: int) -> None:
        self.world, self.part, self._n_blocks = world, part, n_blocks
        self.sites = tuple(Site("resid_post", layer) for layer in range(world.config.n_layers))
        self.widths: Mapping[Site, int] = dict.fromkeys(self.sites, world.config.width)
        self.seconds = SourceSeconds()

    def __repr__(self) -> str:
        return f"PlantedSource({self.world!r}, {self.part!r}, {self._n_blocks})"

    @property
    def n_blocks(self) -> int:
        """Blocks of one pass."""
        return self._n_blocks

    @property
    def spec(self) -> dict[str, Any]:
        """The world and the part; equal specs give equal blocks."""
        return {"kind": "planted", "world": to_dict(self.world.config), "part": self.part, "n_blocks": self._n_blocks}

    def has_block(self, i: int) -> bool:
        """Whether there is a block i."""
        return 0 <= i < self._n_blocks

    def block(self, i: int) -> Block:
        """Block i. Raises IndexError if there is none."""
        if not self.has_block(i):
            raise IndexError(f"no block {i} of {self._n_blocks}")
        config = self.world.config
        sizes = self.world.firing(self.part, i).sizes
        n, n_positions = sizes.shape[:2]
        rng = generator(config.seed, "world", "noise", self.part, i)
        x = sizes @ self.world.directions + self.world.offset
        x += _NOISE * torch.randn(x.shape, generator=rng)
        places = torch.arange(n * n_positions).reshape(n, n_positions)
        documents = (i * n * n_positions + places) // config.document_len
        everything = torch.ones(n, n_positions, dtype=torch.bool)
        return Block(
            tokens=places,
            mask=everything,
            real=everything,
            documents=documents,
            sources=documents,
            positions=places % config.document_len,
            roles=torch.zeros(documents.shape, dtype=torch.int8),
            turns=torch.zeros(documents.shape, dtype=torch.int16),
            activations={site: x[:, :, layer] for layer, site in enumerate(self.sites)},
            index=i,
        )

    def blocks(self, start: int = 0) -> Iterator[Block]:
        """The blocks from `start` to the last."""
        return iterate_blocks(self, start)
