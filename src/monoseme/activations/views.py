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

from monoseme.activations.block import Block, Vectors
from monoseme.core.config import suggest
from monoseme.core.errors import ConfigError
from monoseme.kernels.gather import RowTable, gather_rows
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


class Facts(NamedTuple):
    """Columns of a table of items [M, slots, columns]: what is known of each slot; after these, its row at each site."""

    token: int = 0
    document: int = 1
    position: int = 2
    counts: int = 3
    """1 where the slot is unmasked."""
    rows: int = 4
    """The first site's; the others follow."""


FACTS = Facts()


def find_facts(
    view: View, block: Block, items: Int[Tensor, "M slots"], tables: Sequence[Vectors]
) -> Int[Tensor, "M slots columns"]:
    """What a batch needs to know of the items, the vectors apart; `tables` are the block's at the view's sites.

    Slots are 1 for tokens and layers, 2 for pairs, S for contexts.
    """
    context_len = block.tokens.shape[1]
    places = items * context_len + torch.arange(context_len) if view.name == "contexts" else items
    known = [t.flatten()[places] for t in (block.tokens, block.documents, block.positions, block.mask)]
    rows = [places if table.place is None else table.place[places] for table in tables]
    return torch.stack([column.long() for column in (*known, *rows)], dim=2)


def make_batch(
    view: View,
    sites: tuple[Site, ...],
    tables: Sequence[Sequence[Vectors]],
    *,
    part: Int[Tensor, " B"],
    facts: Int[Tensor, "B slots columns"],
) -> Batch:
    """A batch of its own memory: item b is of block `part[b]`, whose vectors at the sites are `tables[part[b]]`.

    Every vector is copied once, from where it lies in its block to where it stays.
    """
    n_items, slots = facts.shape[:2]
    example, n_sites = tables[0][0], len(sites)
    x = example.rows.new_empty(n_items, slots, n_sites, example.rows.shape[1], dtype=example.given_as)
    table = (part[:, None, None] * n_sites + torch.arange(n_sites)).expand(n_items, slots, n_sites)
    flat = [RowTable(one.rows, one.scale) for of_block in tables for one in of_block]
    gather_rows(flat, table.flatten(), facts[..., FACTS.rows :].flatten(), x.flatten(0, 2))
    shape = {"contexts": (slots,), "pairs": (2,), "layers": (n_sites,), "tokens": ()}[view.name]
    token, document, position, counts = (
        facts[..., i] if view.name in ("contexts", "pairs") else facts[:, 0, i] for i in range(FACTS.rows)
    )
    return Batch(
        x=x.view(n_items, *shape, x.shape[-1]),
        mask=counts.bool() if view.name == "contexts" else None,
        tokens=token.contiguous(),
        documents=document.contiguous(),
        positions=position.contiguous(),
        sites=sites,
    )
