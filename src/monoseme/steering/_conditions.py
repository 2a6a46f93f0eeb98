"""Where and when a method acts, as values that compose: `OnlyGenerated() & WhileFires(sae, site, 7)`, `~AtTokens([11])`.

A condition marks positions; a method acts on those of them that edits may touch at all (`EditContext.mask`: no padding, no
special tokens). Under a KV cache it marks what it would mark in a forward over the whole text.

Letters: n sequences, S positions, D width.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from monoseme.core.errors import SiteError
from monoseme.models.edit import Edit, EditContext
from monoseme.models.site import Site
from monoseme.splice import SAEEdit, as_computed, latent_values
from monoseme.tensors.shapes import Bool, Float, Tensor


class Condition(ABC):
    """Marks positions."""

    @abstractmethod
    def marks(self, context: EditContext) -> Bool[Tensor, "n S"]:
        """True where the method acts."""

    def observers(self) -> tuple[Edit, ...]:
        """Edits that change nothing and come before the method's, for what it must see of the model."""
        return ()

    def __and__(self, other: "Condition") -> "Condition":
        return _Both(self, other)

    def __or__(self, other: "Condition") -> "Condition":
        return _Either(self, other)

    def __invert__(self) -> "Condition":
        return _Otherwise(self)


@dataclass(frozen=True)
class Everywhere(Condition):
    """At every position."""

    def marks(self, context: EditContext) -> Bool[Tensor, "n S"]:
        """True throughout."""
        return torch.ones_like(context.mask)


@dataclass(frozen=True)
class OnlyPrompt(Condition):
    """At the tokens that were given."""

    def marks(self, context: EditContext) -> Bool[Tensor, "n S"]:
        """The prompt's positions."""
        return context.is_prompt


@dataclass(frozen=True)
class OnlyGenerated(Condition):
    """At the tokens that the model wrote: what it reads again in order to go on."""

    def marks(self, context: EditContext) -> Bool[Tensor, "n S"]:
        """The generated positions."""
        return ~context.is_prompt


@dataclass(frozen=True)
class FromPosition(Condition):
    """At this position of the text and all later ones."""

    first: int
    """0-based; the beginning-of-text token counts."""

    def marks(self, context: EditContext) -> Bool[Tensor, "n S"]:
        """Positions from `first` on."""
        return context.positions >= self.first


@dataclass(frozen=True)
class AtPositions(Condition):
    """At some positions of the text."""

    positions: tuple[int, ...]
    """0-based."""

    def marks(self, context: EditContext) -> Bool[Tensor, "n S"]:
        """Those positions."""
        return torch.isin(context.positions, _like(self.positions, context.positions))


@dataclass(frozen=True)
class AtTokens(Condition):
    """Where one of some tokens stands."""

    token_ids: tuple[int, ...]

    def marks(self, context: EditContext) -> Bool[Tensor, "n S"]:
        """The positions of those tokens."""
        return torch.isin(context.tokens, _like(self.token_ids, context.tokens))


@dataclass(frozen=True, eq=False)
class WhileFires(Condition):
    """Where a latent of an SAE fires, as the model has it at the SAE's site when the forward comes by, before the method acts.

    The SAE may be another one than the steered one and stand elsewhere, but not behind the place of the method.
    """

    sae: Any
    """A `SAELike` of one site."""
    site: Site
    latent: int
    above: float = 0.0
    """What the activation must exceed, in the unit of codes."""
    onwards: bool = False
    """Also at all later positions of the sequence, once it has fired."""
    _look: "_Look" = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Raises SiteError for an SAE of several sites."""
        object.__setattr__(self, "_look", _Look(self, SAEEdit(sae=self.sae, site=self.site)))

    def marks(self, context: EditContext) -> Bool[Tensor, "n S"]:
        """The positions where it fires. Raises SiteError where the SAE's site comes after the method's."""
        if self._look not in context.scratch:
            raise SiteError(f"whether latent {self.latent} fires is known only at {self.site}: steer there or behind it")
        return context.scratch[self._look].to(context.mask.device)

    def observers(self) -> tuple[Edit, ...]:
        """What looks at the SAE's site."""
        return (self._look,)


@dataclass(frozen=True, eq=False)
class _Look:
    """An edit that changes nothing and notes where a latent fires."""

    asked: WhileFires
    splice: SAEEdit

    @property
    def site(self) -> Site:
        return self.asked.site

    @torch.no_grad()
    def __call__(self, x: Float[Tensor, "n S D"], context: EditContext) -> Float[Tensor, "n S D"]:
        given = as_computed(self.splice.sae, x)
        mask = self.splice.where(x, context)
        fires = torch.zeros_like(mask)
        codes = self.splice.encode(given, mask.to(given.device), context)
        values = latent_values(codes.all, torch.tensor([self.asked.latent]))[:, 0]
        fires[mask] = (values > self.asked.above).to(fires.device)
        context.scratch[self] = self._onwards(fires, context) if self.asked.onwards else fires
        return x

    def _onwards(self, fires: Tensor, context: EditContext) -> Tensor:
        before = torch.tensor([[state.get(self._seen, False)] for state in context.state], device=fires.device)
        since = fires.cummax(1).values | before
        for state, last in zip(context.state, since[:, -1].tolist(), strict=True):
            state[self._seen] = last
        return since

    @property
    def _seen(self) -> tuple[Any, ...]:
        """Where a sequence's state keeps whether it has fired."""
        return (self, "has fired")


@dataclass(frozen=True)
class _Both(Condition):
    first: Condition
    second: Condition

    def marks(self, context: EditContext) -> Bool[Tensor, "n S"]:
        return self.first.marks(context) & self.second.marks(context)

    def observers(self) -> tuple[Edit, ...]:
        return (*self.first.observers(), *self.second.observers())


@dataclass(frozen=True)
class _Either(Condition):
    first: Condition
    second: Condition

    def marks(self, context: EditContext) -> Bool[Tensor, "n S"]:
        return self.first.marks(context) | self.second.marks(context)

    def observers(self) -> tuple[Edit, ...]:
        return (*self.first.observers(), *self.second.observers())


@dataclass(frozen=True)
class _Otherwise(Condition):
    condition: Condition

    def marks(self, context: EditContext) -> Bool[Tensor, "n S"]:
        return ~self.condition.marks(context)

    def observers(self) -> tuple[Edit, ...]:
        return self.condition.observers()


def _like(numbers: Sequence[int], tensor: Tensor) -> Tensor:
    return torch.tensor(numbers, dtype=tensor.dtype, device=tensor.device)
