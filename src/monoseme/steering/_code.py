"""Methods that act on the codes of an SAE: encode, change some latents, decode.

    with the error term      x' = x + decode(changed codes) - decode(codes): what the SAE does not see stays
    without                  x' = decode(changed codes)

Latents of one SAE are changed together, in one encode. An SAE whose code has a predicted part (TFA) keeps it: a latent's novel
part is changed, and the code is predicted + novel as before. Under a KV cache codes are those of the whole text.

Letters: n sequences, S positions, B rows, m latents, F all latents, D width.
"""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch

from monoseme.core.errors import ConfigError
from monoseme.models import Edit, Site
from monoseme.saes import Codes
from monoseme.splice import Placed, SAEEdit, SAELike, latent_values, with_latents
from monoseme.steering._base import EVERYWHERE, Aim, SteeringMethod
from monoseme.steering._code_edit import CodeEdit
from monoseme.steering._conditions import Condition
from monoseme.steering._residual import acting_sites
from monoseme.steering._several import several_edits
from monoseme.steering._writing import written
from monoseme.tensors.shapes import Float, Int, Tensor

_NOVEL = "novel"


@dataclass(frozen=True, eq=False)
class Latents:
    """The latents of some aims, and how much of each."""

    numbers: Int[Tensor, " m"]
    amounts: Float[Tensor, " m"]
    """In the unit of codes, float32."""


class CodeMethod(SteeringMethod):
    """Changes the codes of an SAE."""

    needs_sae: ClassVar[bool] = True

    @dataclass(frozen=True, kw_only=True)
    class Config(SteeringMethod.Config):
        """What becomes of the rest."""

        error_term: bool = True
        """Whether what the SAE does not reconstruct is kept; off reproduces llama3-sae."""

    config: Config

    @abstractmethod
    def steered(self, sae: SAELike, x: Float[Tensor, "*lead D"], codes: Codes, latents: Latents) -> Codes:
        """The codes of rows, changed; the same object where nothing changes."""

    def edits(
        self,
        place: Placed | Site,
        aims: Sequence[Aim],
        *,
        conditions: Condition = EVERYWHERE,
        sites: Sequence[Site] | None = None,
    ) -> list[Edit]:
        """One edit for the SAE, or one for each of its outputs, behind what the conditions look at."""
        if isinstance(place, Site):
            raise ConfigError(f"{self.plugin_name} changes the codes of an SAE: give one with --sae, or take additive")
        change = _Steering(self, place.sae, self.latents(place, aims, acting_sites(place, sites)[0]))
        observers = conditions.observers()
        if place.sae.learns_from == "layers" or place.sae.reads == "layers":
            return [*observers, *several_edits(place, change, conditions, sites)]
        site = place.outputs[0]
        return [*observers, CodeEdit(site, SAEEdit(sae=place.sae, site=site), change, conditions)]

    def latents(self, placed: Placed, aims: Sequence[Aim], site: Site) -> Latents:
        """Latents and amounts. Raises ConfigError for directions, and for a latent named twice."""
        self.check_units(aims)
        numbers = [aim.target for aim in aims if isinstance(aim.target, int)]
        if len(numbers) < len(aims):
            raise ConfigError(f"{self.plugin_name} changes codes, and a direction has none: take a method such as additive")
        if len(set(numbers)) < len(numbers):
            raise ConfigError(f"{self.plugin_name} is given a latent twice: {', '.join(map(str, numbers))}")
        rows = written(placed, numbers, site)
        amounts = [
            aim.strength.amount(aim.facts, written_norm=float(row.norm()), what=aim.name)
            for aim, row in zip(aims, rows, strict=True)
        ]
        return Latents(torch.tensor(numbers), torch.tensor(amounts))


class ValueMethod(CodeMethod):
    """One formula on the values of latents; each is changed by itself."""

    @abstractmethod
    def values(self, now: Float[Tensor, "B m"], amounts: Float[Tensor, " m"]) -> Float[Tensor, "B m"]:
        """What the latents become where they are `now`."""

    def steered(self, sae: SAELike, x: Float[Tensor, "*lead D"], codes: Codes, latents: Latents) -> Codes:
        """The codes with other values of the latents."""
        del sae, x
        part = _NOVEL if _NOVEL in codes.parts else None
        now = latent_values(codes.part(part), latents.numbers)
        new = self.values(now, latents.amounts.to(now))
        if torch.equal(new, now):
            return codes
        whole = now if part is None else latent_values(codes.all, latents.numbers)
        return codes.with_all(with_latents(codes.all, latents.numbers, new if part is None else whole + (new - now)))


@dataclass(frozen=True, eq=False)
class _Steering:
    """A method with the latents it is to change: a `Change`."""

    method: CodeMethod
    sae: SAELike
    latents: Latents

    @property
    def error_term(self) -> bool:
        return self.method.config.error_term

    def __call__(self, x: Float[Tensor, "*lead D"], codes: Codes) -> Codes:
        return self.method.steered(self.sae, x, codes, self.latents)
