"""Views: what of a block an SAE is given, as an index plan that is a pure function of the block and a generator.

| view | item | x of a batch |
|---|---|---|
| tokens | an unmasked token | [B, D] |
| pairs | an unmasked token and an earlier one of the same document in the same context | [B, 2, D], slot 0 the current |
| contexts | a context with at least one unmasked token | [B, S, D], with the mask [B, S] |
| layers | an unmasked token at all sites | [B, L, D] |

Letters: n contexts, S positions, B items, D width, L sites.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch

from monoseme.activations.block import Block
from monoseme.core.config import suggest
from monoseme.core.errors import ConfigError
from monoseme.models.site import Site
from monoseme.tensors.shapes import Bool, Int, Tensor

VIEWS = ("tokens", "pairs", "contexts", "layers")


@dataclass(frozen=True, kw_only=True)
class View:
    """One of the four views."""

    name: Literal["tokens", "pairs", "contexts", "layers"] = "tokens"
    """Which."""
    offset: Literal["previous", "random"] = "previous"
    """For pairs, the earlier token: the one just before, or a random earlier one (drawn for each token anew)."""

    def __post_init__(self) -> None:
        """Raises ConfigError, with a suggestion, for a view that does not exist."""
        if self.name not in VIEWS:
            raise ConfigError(f'no view "{self.name}".{suggest(self.name, VIEWS)}\n  Allowed: {", ".join(VIEWS)}')
        if self.offset not in ("previous", "random"):
            raise ConfigError(f'no offset "{self.offset}" of pairs.\n  Allowed: previous, random')


class Batch(NamedTuple):
    """Items of a view. Everything but `x` lies on the CPU; `*` is nothing, 2 for pairs, S for contexts."""

    x: Tensor
    mask: Bool[Tensor, "B S"] | None
    """For contexts, which positions count; None for the other views, all of whose rows count."""
    tokens: Int[Tensor, "B *slots"]
    documents: Int[Tensor, "B *slots"]
    positions: Int[Tensor, "B *slots"]
    sites: tuple[Site, ...]

    @property
    def n_items(self) -> int:
        """B."""
        return int(self.x.shape[0])


def find_items(view: View, block: Block, generator: torch.Generator) -> Int[Tensor, "M slots"]:
    """The items of the view in the block, in reading order: flat places `context * S + position` [M, 1 or 2].

    For contexts, the numbers of the contexts [M, 1].
    """
    if view.name == "contexts":
        return block.mask.any(dim=1).nonzero()
    places = block.mask.flatten().nonzero().squeeze(1)
    return _pairs(view, block, places, generator) if view.name == "pairs" else places.unsqueeze(1)


def _pairs(view: View, block: Block, places: Tensor, generator: torch.Generator) -> Tensor:
    """Current and earlier place. Both are unmasked and of one document in one context, or there is no pair."""
    context = places // block.tokens.shape[1]
    document = block.documents.flatten()[places]
    starts_run = torch.ones_like(places, dtype=torch.bool)
    starts_run[1:] = (context[1:] != context[:-1]) | (document[1:] != document[:-1])
    index = torch.arange(len(places))
    run_start = torch.where(starts_run, index, 0).cummax(dim=0).values if len(places) else index
    rank = index - run_start
    if view.offset == "previous":
        earlier = (index - 1).clamp(min=0)
        kept = (rank > 0) & (places - places[earlier] == 1)
    else:
        # float64: a product of a draw below 1 and a rank never rounds up to the rank itself.
        draw = torch.rand(len(places), generator=generator, dtype=torch.float64)
        earlier = run_start + (draw * rank).long()
        kept = rank > 0
    return torch.stack([places, places[earlier]], dim=1)[kept]


def gather(view: View, found: Sequence[tuple[Block, Int[Tensor, "M slots"]]], sites: tuple[Site, ...]) -> Batch:
    """The items of all blocks one after the other; each vector is copied once, to where it stays."""
    n_items = sum(len(items) for _, items in found)
    example = found[0][0].activations[sites[0]]
    slots = {"contexts": example.shape[1:2], "pairs": (2,), "layers": (len(sites),), "tokens": ()}[view.name]
    x = example.new_empty(n_items, *slots, example.shape[-1])
    start = 0
    for block, items in found:
        _copy(view, block, items, sites, x[start : start + len(items)])
        start += len(items)
    facts = [_facts(view, block, items) for block, items in found]
    tokens, documents, positions, masks = (torch.cat(parts) for parts in zip(*facts, strict=True))
    return Batch(x, masks if view.name == "contexts" else None, tokens, documents, positions, sites)


def _copy(view: View, block: Block, items: Int[Tensor, "M slots"], sites: tuple[Site, ...], room: Tensor) -> None:
    """The vectors of the items, from the block to `room`."""
    for i, site in enumerate(sites):
        whole = block.activations[site]
        rows, vectors = (items[:, 0], whole) if view.name == "contexts" else (items.flatten(), whole.flatten(0, 1))
        target = room[:, i] if view.name == "layers" else room.view(len(rows), *vectors.shape[1:])
        torch.index_select(vectors, 0, rows.to(vectors.device), out=target)


def _facts(view: View, block: Block, items: Int[Tensor, "M slots"]) -> tuple[Tensor, ...]:
    """Tokens, documents, positions and masks of the items."""
    tensors = (block.tokens, block.documents, block.positions, block.mask)
    if view.name == "contexts":
        return tuple(t[items[:, 0]] for t in tensors)
    places = items if view.name == "pairs" else items[:, 0]
    return tuple(t.flatten()[places] for t in tensors)
