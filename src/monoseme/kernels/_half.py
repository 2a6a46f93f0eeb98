"""A bfloat16 copy of a matrix of latents, with what its rounding lost: what a screening product works on.

Kept as a note on the weight, so that it is made again only where the weight has changed by other hands than the optimiser's; an
optimiser that goes by rows rewrites the copy in its pass and notes it anew.

Letters: D model width, F latents.
"""

from typing import NamedTuple

import torch

from monoseme.tensors.notes import note, noted
from monoseme.tensors.shapes import Float, Tensor

_NOTE = "half"


class HalfCopy(NamedTuple):
    """The rows w of a float32 matrix rounded to nearest, ties to even; v stands for the rounded row."""

    rows: Float[Tensor, "F D"]
    """v, bfloat16, contiguous."""
    norms: Float[Tensor, " F"]
    """|v|, float32."""
    lost: Float[Tensor, " F"]
    """|w - v|, float32."""


def half_copy(weight: Float[Tensor, "D F"]) -> HalfCopy:
    """The copy of an encoder's weight; its transpose must be contiguous."""
    known = noted(weight, _NOTE)
    if known is None:
        known = _made(weight.detach().t())
        note(weight, _NOTE, known)
    return known


def known_half_copy(weight: Float[Tensor, "D F"]) -> HalfCopy | None:
    """The copy if there is one that still holds."""
    return noted(weight, _NOTE)


def keep_half_copy(weight: Float[Tensor, "D F"], copy: HalfCopy) -> None:
    """Notes that `copy`, rewritten in place, is of the weight as it is now."""
    note(weight, _NOTE, copy)


@torch.no_grad()
def _made(rows: Float[Tensor, "F D"]) -> HalfCopy:
    half = rows.to(torch.bfloat16)
    wide = half.to(rows.dtype)
    return HalfCopy(half.contiguous(), wide.norm(dim=1), (rows - wide).norm(dim=1))
