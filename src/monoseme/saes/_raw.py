"""The way back from the normalised space, for losses that hold normalised rows."""

from monoseme.saes._normalise import Normalised
from monoseme.tensors.shapes import Float, Tensor


def denormalised(x_hat: Float[Tensor, "B D"], rows: Normalised, factor: Float[Tensor, ""]) -> Float[Tensor, "B D"]:
    """Reconstructions of `rows` as raw activations, differentiable; `factor` is the measured scale of the input."""
    raw = x_hat / factor
    if rows.scale is not None and rows.offset is not None:
        raw = raw * rows.scale.reshape(-1, 1) + rows.offset.reshape(-1, 1)
    return raw
