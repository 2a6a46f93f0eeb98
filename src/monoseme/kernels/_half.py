"""A bfloat16 copy of a matrix of latents, with what its rounding lost: what a screening product works on.

Kept as a note on the weight, so that it is made again only where the weight has changed by other hands than the optimiser's; an
optimiser that goes by rows rewrites the copy in its pass and notes it anew.

Letters: D model width, F latents.
"""

from typing import NamedTuple

import torch

from monoseme.tensors.notes import last_noted, note, noted
from monoseme.tensors.shapes import Float, Tensor

_NOTE = "half"
_ROWS = 512
"""Copied at a time, so that what lies between is in the cache."""


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
        known = _room(weight, last_noted(weight, _NOTE))
        rows = weight.detach().t()
        for first in range(0, rows.shape[0], _ROWS):
            block = slice(first, first + _ROWS)
            refill(known, rows[block], block)
        note(weight, _NOTE, known)
    return known


def known_half_copy(weight: Float[Tensor, "D F"]) -> HalfCopy | None:
    """The copy if there is one that still holds."""
    return noted(weight, _NOTE)


def keep_half_copy(weight: Float[Tensor, "D F"], copy: HalfCopy) -> None:
    """Notes that `copy`, rewritten in place, is of the weight as it is now."""
    note(weight, _NOTE, copy)


@torch.no_grad()
def refill(copy: HalfCopy, weights: Float[Tensor, "f D"], block: slice) -> None:
    """Makes the latents of `block` in the copy those of `weights`."""
    half, norms, lost = (part[block] for part in copy)
    half.copy_(weights)
    wide = half.to(weights.dtype)
    torch.linalg.vector_norm(wide, dim=1, out=norms)
    torch.linalg.vector_norm(wide.sub_(weights), dim=1, out=lost)


def _room(weight: Float[Tensor, "D F"], before: HalfCopy | None) -> HalfCopy:
    """What the outdated copy lies in, or fresh memory; plain also where inference mode is on, to be written outside it."""
    width, n_latents = weight.shape
    if before is not None and before.rows.shape == (n_latents, width) and before.rows.device == weight.device:
        return before
    with torch.inference_mode(False):
        norms, lost = (torch.empty(n_latents, dtype=weight.dtype, device=weight.device) for _ in range(2))
        return HalfCopy(torch.empty(n_latents, width, dtype=torch.bfloat16, device=weight.device), norms, lost)
