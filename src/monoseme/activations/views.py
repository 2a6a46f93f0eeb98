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

    def part(self, start: int, stop: int) -> "Batch":
        """Items [start, stop)."""
        mask = None if self.mask is None else self.mask[start:stop]
        rows = slice(start, stop)
        return Batch(self.x[rows], mask, self.tokens[rows], self.documents[rows], self.positions[rows], self.sites)


def join_batches(parts: Sequence[Batch]) -> Batch:
    """The items of all parts, one after the other."""
    if len(parts) == 1:
        return parts[0]
    masks = [part.mask for part in parts if part.mask is not None]
    return Batch(
        torch.cat([part.x for part in parts]),
        torch.cat(masks) if masks else None,
        torch.cat([part.tokens for part in parts]),
        torch.cat([part.documents for part in parts]),
        torch.cat([part.positions for part in parts]),
        parts[0].sites,
    )


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


def gather(view: View, block: Block, items: Int[Tensor, "B slots"], sites: tuple[Site, ...]) -> Batch:
    """The batch of `items` of the block, copied out of it."""
    if view.name == "contexts":
        rows = items[:, 0]
        x = _select(block.activations[sites[0]], rows)
        return Batch(x, block.mask[rows], block.tokens[rows], block.documents[rows], block.positions[rows], sites)
    places = items if view.name == "pairs" else items[:, 0]
    per_site = [_select(block.activations[site].flatten(0, 1), places) for site in sites]
    x = torch.stack(per_site, dim=1) if view.name == "layers" else per_site[0]
    tokens, documents, positions = (t.flatten()[places] for t in (block.tokens, block.documents, block.positions))
    return Batch(x, None, tokens, documents, positions, sites)


def _select(x: Tensor, rows: Tensor) -> Tensor:
    return x[rows.to(x.device)]
