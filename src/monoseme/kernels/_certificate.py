"""How far a screen score can be from the pre-activation it stands for: the bound that makes screening exact.

For a centred row x and a latent's weights w with bfloat16 roundings x' and v, in exact arithmetic

    x . w - x' . v = (x - x') . v + x . (w - v),   so   |x . w - x' . v| <= |x - x'| |v| + |x| |w - v|

by Cauchy and Schwarz. To that come the float32 sums of the screen and of the exact score, (D + 1) 2^-24 |x| |w| each (Higham
2002, Accuracy and Stability of Numerical Algorithms, section 3.1), and the rounding of the score to bfloat16, 2^-8 |score|. A
float32 screen has only the last two. The bound is given as e = wobble |score| + slack reach, with one number `slack` for each
row and one number `reach` for each latent, so that a loop can work it out for every score; |w - v| <= ratio reach is how the
two terms become one product, for a ratio near the typical |w - v| / |v|.

If T is the k-th largest of score + b - e in a row, then k pre-activations are at least T, and a latent with score + b + e < T is
not among the k largest, nor tied with the last of them: whoever scores all others again in float32 has the exact answer.

Letters: B rows, D model width, F latents.
"""

import math
from typing import NamedTuple

import numpy as np
import torch

from monoseme.kernels._cpu_screen import round_rows
from monoseme.kernels._half import half_copy
from monoseme.kernels._screen_product import ScreenProduct
from monoseme.kernels._threads import launch, n_threads
from monoseme.kernels._workspace import workspace
from monoseme.tensors.shapes import Float, Tensor

_PADDING = 1.001
"""On norms and sums computed in float32."""
_TINY = 1e-16
"""More than a float32 norm loses where squares underflow, for widths up to a million."""
_LARGEST = 1e37
"""Rows whose scores could come near float32's largest number are not screened."""


class Latents(NamedTuple):
    """What a screen needs to know of an encoder."""

    half: Tensor
    """Latents as the product takes them, packed."""
    raised: Float[Tensor, " F"]
    """The bias plus what its addition may round off."""
    reach: Float[Tensor, " F"]
    give: np.float32
    """Twice the largest difference of `raised` and the bias."""
    wobble: np.float32
    ratio: float
    """|w - v| <= ratio reach; 0 for a float32 screen."""
    limit: float
    """Rows with a norm above it are not screened; -1 if none can be, not even a row of zeros."""


class Rows(NamedTuple):
    """What a screen needs to know of the rows."""

    screened: Tensor
    """Rows as the product takes them."""
    slacks: Float[Tensor, " B"]
    """Infinite for rows that cannot be screened."""


@torch.no_grad()
def certified_latents(
    weight: Float[Tensor, "D F"], bias: Float[Tensor, " F"], product: ScreenProduct, magnitude: float = 0.0
) -> Latents:
    """`magnitude`: the largest number that a pre-activation will be compared with."""
    if product.dtype == torch.bfloat16:
        copy = half_copy(weight)
        reach, ratio = _reach(copy.norms, copy.lost)
        half, wobble = copy.rows, 1.01 * 2**-8
    else:
        half, ratio, wobble = weight.detach().t(), 0.0, 2**-20
        reach = half.norm(dim=1).mul_(_PADDING).add_(_TINY)
    roundoff = bias.abs().add_(magnitude).mul_(2**-20).add_(1e-30)
    largest, most = float(reach.max()), float(roundoff.max())
    sound = math.isfinite(largest) and most * 2**20 < _LARGEST
    return Latents(
        half=product.packed(half),
        raised=bias + roundoff,
        reach=reach,
        give=np.float32(2.5 * most),
        wobble=np.float32(wobble),
        ratio=ratio,
        limit=_LARGEST / largest if sound else -1.0,
    )


def _reach(norms: Float[Tensor, " F"], lost: Float[Tensor, " F"]) -> tuple[Float[Tensor, " F"], float]:
    """|v|, more where rounding lost more than is typical, and the typical ratio."""
    reach = norms.mul(_PADDING).add_(_TINY)
    # Rounding to nearest loses at most 2^-8 of each weight, so this holds where squares of what is lost underflow.
    lost = torch.minimum(lost.mul(_PADDING).add_(_TINY), reach.mul(1.01 * 2**-8))
    ratio = min(max(float(lost.sum() / reach.sum()), 2**-12), 2**-8)
    return torch.maximum(reach, lost / ratio), ratio


@torch.no_grad()
def certified_rows(centred: Float[Tensor, "B D"], latents: Latents, product: ScreenProduct) -> Rows:
    """Buffers of the workspace: they hold until the next call."""
    n_rows, width = centred.shape
    sums = 1.01 * 2 * (width + 8) * 2**-24
    norms, lost = (workspace(name, n_rows, dtype=torch.float64) for name in ("norms", "lost"))
    halves = workspace("halves", n_rows, width, dtype=torch.int16)
    with launch():
        round_rows(centred.numpy(), halves.numpy().view(np.uint16), norms.numpy(), lost.numpy(), n_threads())
    half = product.dtype == torch.bfloat16
    slacks = norms * ((latents.ratio + sums) * _PADDING) + 1e-30
    if half:
        slacks.add_(lost, alpha=_PADDING)
    slacks.masked_fill_(~(norms <= latents.limit), math.inf)
    return Rows(halves.view(torch.bfloat16) if half else centred, slacks.float())
