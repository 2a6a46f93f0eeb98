"""Scores of all latents by a bfloat16 product, with a bound on how far each may be from the float32 pre-activation.

For a row x (centred), its bfloat16 copy x', a latent's weights w and their copy v, the exact pre-activation x . w + b and the
score differ by

    |x . w - x' . v| <= |x - x'| |v| + |x| |w - v|                  (Cauchy-Schwarz)
    + 2 gamma |x| |w|, gamma = D 2^-23                              (two float32 sums of D products, with slack)
    + |b - b'|                                                      (the bias in bfloat16)
    + 2^-8 (|score| + |b|) + 2^-8 |score|                           (the score in bfloat16, product and sum rounded apart)

The parts that depend on the score stay apart (`_ROUNDING`); the rest is one number for each row, over the worst latent.

Letters: B rows, b rows of a chunk, D model width, F latents.
"""

from collections.abc import Iterator
from typing import NamedTuple

import torch

from monoseme.kernels._half import HalfCopy, half_copy
from monoseme.kernels._workspace import workspace
from monoseme.tensors.shapes import Float, Int, Tensor

_CHUNK_ELEMENTS = 2**22
"""Scores made at once: 8 MB, which stay in the cache until they are looked through."""
_CHUNK_ROWS = 256
"""Never fewer rows than this: the weights are read once per chunk."""
_ROUNDING = 2.0**-7 * (1 + 2.0**-6)
"""What the rounding of a score may be, as a fraction of the rounded score."""
_SLACK = 1.001
"""The bound itself is computed in float32."""
_TINY = 1e-16
"""More than a norm loses where squares underflow, for widths up to a million."""


class Screen(NamedTuple):
    """What the product needs, and its bound."""

    rows: Float[Tensor, "B D"]
    """bfloat16."""
    weight: Float[Tensor, "F D"]
    """bfloat16."""
    bias: Float[Tensor, " F"]
    """bfloat16."""
    error: Float[Tensor, " B"]
    """Largest distance between a score and what it stands for, the rounding of the score left out; float32."""

    def parts(self) -> list[slice]:
        """Rows to be worked on at a time."""
        n_rows, step = self.rows.shape[0], max(_CHUNK_ROWS, _CHUNK_ELEMENTS // self.weight.shape[0])
        return [slice(first, min(first + step, n_rows)) for first in range(0, n_rows, step)]

    def chunks(self) -> Iterator[tuple[slice, Float[Tensor, "b F"]]]:
        """Scores of some rows at a time, valid until the next; the memory is used again."""
        for part in self.parts():
            out = workspace("screen", part.stop - part.start, self.weight.shape[0], dtype=torch.bfloat16)
            yield part, self.score(part, out)

    def score(self, part: slice, out: Float[Tensor, "b F"]) -> Float[Tensor, "b F"]:
        """Writes the scores of some rows into `out`."""
        return torch.addmm(self.bias, self.rows[part], self.weight.t(), out=out)

    def at_least(self, scores: Float[Tensor, "b n"], part: slice) -> Float[Tensor, "b n"]:
        """What the pre-activations behind these scores reach for certain, float32."""
        wide = scores.float()
        return wide - wide.abs().mul_(_ROUNDING).add_(self.error[part].unsqueeze(1))

    def limit(self, floor: Tensor, part: slice) -> Float[Tensor, " b"]:
        """The least score, for each row, whose pre-activation may reach `floor` (one for each row, or for all); bfloat16."""
        least = floor - self.error[part]
        least = torch.minimum(least / (1 - _ROUNDING), least / (1 + _ROUNDING))
        rounded = least.bfloat16()
        below = torch.nextafter(rounded, torch.full_like(rounded, -torch.inf))
        return torch.where(rounded.float() > least, below, rounded)


@torch.no_grad()
def screen_of(
    centred: Float[Tensor, "B D"],
    weight: Float[Tensor, "D F"],
    bias: Float[Tensor, " F"],
    *,
    among: Int[Tensor, " m"] | None = None,
) -> Screen:
    """The screen of float32 rows against an encoder, or against some of its latents."""
    half, bias = half_copy(weight), bias.detach()
    if among is not None:
        half, bias = HalfCopy(*(part.index_select(0, among) for part in half)), bias.index_select(0, among)
    rows, rounded = centred.bfloat16(), bias.bfloat16()
    lost_x = torch.linalg.vector_norm(centred - rows, dim=1) + _TINY
    norm_x = torch.linalg.vector_norm(centred, dim=1) + _TINY
    norm, lost = half.norms.amax() + _TINY, half.lost.amax() + _TINY
    gamma = 2 * centred.shape[1] * 2.0**-23
    of_bias = (bias - rounded).abs().amax() + 1.01 * 2.0**-8 * rounded.abs().amax()
    error = lost_x * norm + norm_x * (lost + gamma * (norm + lost)) + of_bias
    return Screen(rows, half.rows, rounded, error * _SLACK)
