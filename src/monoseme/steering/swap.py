"""Swap: as much as there is of one direction is taken away and put along another one.

    h' = h + <h, a> (c_b b - c_a a),    a and b of length 1; c_a = c_b = 1 swaps all of it

Aims come in pairs: what goes, then what comes. Conditions say at which tokens (`AtTokens`, `AtPositions`).
Source: the intervention experiments beside sae-spelling (a direction exchanged for another at one token, then generation);
removal as Arditi et al. 2024, arXiv:2406.11717.
"""

from collections.abc import Sequence
from typing import ClassVar

from monoseme.core.errors import ConfigError
from monoseme.steering._base import Aim
from monoseme.steering._residual import Along, ResidualMethod
from monoseme.steering._strength import Unit
from monoseme.tensors.shapes import Float, Tensor


class Swap(ResidualMethod):
    """One direction for another; a row without the first stays as it is."""

    formula = "h + <h, a> (c_b b - c_a a), a and b unit vectors"
    units: ClassVar[tuple[Unit, ...]] = ("raw",)

    def check_units(self, aims: Sequence[Aim]) -> None:
        """Also raises ConfigError for an odd number of aims."""
        super().check_units(aims)
        if len(aims) % 2:
            raise ConfigError(f"swap takes pairs, what goes and what comes, not {len(aims)} latents: for example 12=1,57=1")

    def changed(self, x: Float[Tensor, "B D"], along: Along) -> Float[Tensor, "B D"]:
        """The rows, one pair after the other."""
        scaled = along.units() * along.amounts.unsqueeze(1)
        for goes, gone, comes in zip(along.units()[::2].to(x), scaled[::2].to(x), scaled[1::2].to(x), strict=True):
            x = x + (x @ goes).unsqueeze(1) * (comes - gone)
        return x
