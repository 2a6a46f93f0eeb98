"""SAEs that work on activations scaled by one number on each side, as those of OpenMOSS do: the scale put into the weights.

    pre = (s x) W_E + b_E,   f = pre where its gate is open,   t y_hat = f W_D + b_D,   s = sqrt(D) / mean norm of x, t of y

On raw activations, with codes f / s:  pre' = x W_E + b_E / s,  W_D' = W_D s / t,  b_D' = b_D / t. A gate that compares pre, or
pre times the norm of the decoder's row, with a threshold becomes one on pre' (`Gate`).
Letters: D model width, F latents.
"""

import math
from typing import Literal, NamedTuple

from monoseme.core.errors import ForeignError
from monoseme.interchange._plain_encoders import PlainEncoder
from monoseme.tensors.shapes import Float, Tensor


class Scales(NamedTuple):
    """What activations are multiplied by."""

    s: float = 1.0
    t: float = 1.0


class Gate(NamedTuple):
    """What a threshold is compared with."""

    by_norms: bool
    """pre times the norm of the decoder's row, else pre."""
    space: Literal["scaled", "raw"] = "scaled"
    """scaled: before scales are folded. raw: as the files are after folding, where the threshold is left as it was."""


def scale_of(mean_norm: float, d_in: int, *, where: str) -> float:
    """sqrt(D) / mean norm. Raises ForeignError for a norm that is none."""
    if not (math.isfinite(mean_norm) and mean_norm > 0):
        raise ForeignError(f"{where}: the average norm of activations is {mean_norm}; it must be positive")
    return math.sqrt(d_in) / mean_norm


def unscaled(plain: PlainEncoder, scales: Scales, *, limits: Float[Tensor, " F"] | None, gate: Gate) -> PlainEncoder:
    """On raw activations, its codes divided by s; `limits` are the thresholds, one for each latent.

    Raises ForeignError for a decoder row of zeros where norms decide.
    """
    s, t = scales
    threshold: Tensor | None = None
    if limits is not None:
        found = limits.double()
        if gate.by_norms:
            found = found / row_norms(plain.W_dec)
        # raw: the folded gate is pre' n' > limit with n' = n s / t, or pre' > limit
        threshold = (found / s if gate.space == "scaled" else found * (t / s if gate.by_norms else 1.0)).float()
    return PlainEncoder(
        plain.W_enc,
        (plain.b_enc.double() / s).float(),
        (plain.W_dec.double() * (s / t)).float(),
        (plain.b_dec.double() / t).float(),
        threshold,
    )


def row_norms(W_dec: Float[Tensor, "F D"]) -> Float[Tensor, " F"]:
    """Norms of decoder rows, float64. Raises ForeignError for a row of zeros: it has no say, and nothing to be divided by."""
    norms = W_dec.double().norm(dim=1)
    if bool((norms == 0).any()):
        raise ForeignError(f"{int((norms == 0).sum())} rows of the decoder are zero: norms that weigh latents cannot be folded")
    return norms


def alike(norms: Float[Tensor, " F"]) -> bool:
    """Whether all norms are one number, up to rounding: then they decide nothing between latents."""
    return bool((norms / norms.mean() - 1).abs().max() < 1e-5)
