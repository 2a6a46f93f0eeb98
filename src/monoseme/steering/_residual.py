"""Methods that act on the activations at a site, along the directions that latents write.

Letters: n sequences, S positions, B rows that are changed, m directions, D width.
"""

from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from monoseme.core.errors import ConfigError, SiteError
from monoseme.models import Edit, EditContext, Site
from monoseme.splice import Placed
from monoseme.steering._base import EVERYWHERE, Aim, SteeringMethod
from monoseme.steering._conditions import Condition
from monoseme.steering._directions import Direction
from monoseme.steering._writing import is_standardised, written
from monoseme.tensors.shapes import Float, Tensor


@dataclass(frozen=True, eq=False)
class Along:
    """The directions of some aims at one site, and how much of each."""

    vectors: Float[Tensor, "m D"]
    """What a code of 1 writes, float32."""
    amounts: Float[Tensor, " m"]
    """In codes of 1: the sum of amount x vector is what addition adds. float32."""

    def units(self) -> Float[Tensor, "m D"]:
        """The vectors, each of length 1. Raises ConfigError for one of zeros."""
        norms = self.vectors.norm(dim=1, keepdim=True)
        if not bool((norms > 0).all()):
            raise ConfigError("one of the latents or directions writes nothing here: it has no direction")
        return self.vectors / norms

    def lengths(self) -> Float[Tensor, " m"]:
        """How long amount x vector is, with the amount's sign."""
        return self.amounts * self.vectors.norm(dim=1)

    def to(self, device: torch.device) -> "Along":
        """On another device."""
        return Along(self.vectors.to(device), self.amounts.to(device))


class ResidualMethod(SteeringMethod):
    """One formula on rows of activations."""

    @abstractmethod
    def changed(self, x: Float[Tensor, "B D"], along: Along) -> Float[Tensor, "B D"]:
        """The rows with which the model goes on; x is float32 or wider."""

    def edits(
        self,
        place: Placed | Site,
        aims: Sequence[Aim],
        *,
        conditions: Condition = EVERYWHERE,
        sites: Sequence[Site] | None = None,
    ) -> list[Edit]:
        """One edit for each site, behind what the conditions look at."""
        made: list[Edit] = [*conditions.observers()]
        for site in acting_sites(place, sites):
            along = self.along(place, aims, site)
            made.append(ResidualEdit(site, self, along, conditions))
        return made

    def along(self, place: Placed | Site, aims: Sequence[Aim], site: Site) -> Along:
        """Directions and amounts at one site. Raises as `edits`."""
        self.check_units(aims)
        vectors = torch.stack([_vector(place, aim, site) for aim in aims])
        amounts = [
            aim.strength.amount(aim.facts, written_norm=float(row.norm()), what=aim.name)
            for aim, row in zip(aims, vectors, strict=True)
        ]
        return Along(vectors, torch.tensor(amounts))


@dataclass(frozen=True, eq=False)
class ResidualEdit:
    """The edit of a `ResidualMethod` at one site."""

    site: Site
    method: ResidualMethod
    along: Along
    conditions: Condition

    def __call__(self, x: Float[Tensor, "n S D"], context: EditContext) -> Float[Tensor, "n S D"]:
        """The activations, changed where the conditions hold. Raises SiteError when widths do not fit."""
        if x.shape[-1] != self.along.vectors.shape[1]:
            raise SiteError(
                f"{self.method.plugin_name} has directions of D={self.along.vectors.shape[1]}, but {self.site} of this model has "
                f"D={x.shape[-1]}"
            )
        return changed_where(
            x, acting(self.conditions, x, context), lambda rows: self.method.changed(rows, self.along.to(x.device))
        )


def changed_where(x: Tensor, mask: Tensor, change: Callable[[Tensor], Tensor]) -> Tensor:
    """x with the masked rows changed; the change is worked out in float32 at least."""
    if not bool(mask.any()):
        return x
    rows = x[mask]
    return x.index_put((mask,), change(rows.to(torch.promote_types(x.dtype, torch.float32))).to(x.dtype))


def acting(conditions: Condition, x: Tensor, context: EditContext) -> Tensor:
    """bool [n, S] where x is: the positions that edits may touch and the conditions mark."""
    return (context.mask & conditions.marks(context).to(context.mask.device)).to(x.device)


def acting_sites(place: Placed | Site, sites: Sequence[Site] | None) -> tuple[Site, ...]:
    """Where to act, in the order of a forward. Raises SiteError for sites that the SAE does not write at."""
    there = (place,) if isinstance(place, Site) else place.outputs
    for site in sites or ():
        if site not in there:
            raise SiteError(f"nothing is steered at {site} here.\n  Allowed: {', '.join(map(str, there))}")
    return tuple(sorted(there if sites is None else set(sites)))


def _vector(place: Placed | Site, aim: Aim, site: Site) -> Float[Tensor, " D"]:
    if isinstance(aim.target, Direction):
        return aim.target.vector.detach().cpu().float()
    if isinstance(place, Site):
        raise ConfigError(f"{aim.name} is of no SAE here: give one with --sae, or a direction")
    if is_standardised(place.sae) and aim.strength.unit == "max":
        raise ConfigError(
            f"codes of {type(place.sae).__name__} count in each vector's own standard deviations, so {aim.strength} "
            f"of {aim.name} is no fixed vector.\n"
            "  Give the strength as norm or raw (multiples of the decoder's row), or take clamp or h_bias."
        )
    return written(place, [aim.target], site)[0]
