"""Vectors in the type in which a store keeps them, and back. Letters: R rows, D width.

What cannot be kept is an error here, not an infinity on the disk.
"""

from typing import NamedTuple

import torch

from monoseme.activations.store.config import StoredDtype
from monoseme.core.errors import ConfigError
from monoseme.kernels.int8 import to_int8
from monoseme.tensors.shapes import Float, Tensor

TORCH_DTYPES: dict[StoredDtype, torch.dtype] = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
    "int8": torch.int8,
}
_FLOAT16_MAX = 65504.0


class StoredRows(NamedTuple):
    """Vectors as they lie in a shard."""

    x: Tensor
    """[R, D] in the stored type."""
    scale: Float[Tensor, " R"] | None
    """Of each row, float32, with int8; else None."""
    norm: Float[Tensor, " R"]
    """Length of each vector before it was rounded, float32."""


def encode(x: Float[Tensor, "R D"], dtype: StoredDtype, *, what: str = "the vectors") -> StoredRows:
    """The rows in a stored type, rounded to nearest, ties to even.

    int8: a row's scale is max|x| / 127, so no number is off by more than max|x| / 254; a row of zeros has scale 0.
    Norms and scales are in float32. `x` itself comes back where its type is the stored one.

    Raises ConfigError where a number is not finite (or a row so long that its norm is not), and where float16 cannot hold it.
    """
    norm = torch.linalg.vector_norm(x, dim=-1, dtype=torch.float32)
    longest = float(norm.max()) if norm.numel() else 0.0  # NaN if any is
    if not longest < float("inf"):
        raise ConfigError(
            f"{what} hold NaN or infinity: the model overflows on this text, and no SAE could learn from it.\n"
            "  Run the model in a wider type, such as --model.dtype float32 or bfloat16."
        )
    if dtype == "int8":
        return StoredRows(*to_int8(x), norm)
    # No number is larger than its row is long, so mostly there is no need to look at each.
    if dtype == "float16" and longest > _FLOAT16_MAX and float(x.abs().max()) > _FLOAT16_MAX:
        raise ConfigError(
            f"{what} hold {float(x.abs().max()):.3g}, and float16 ends at {_FLOAT16_MAX:,.0f}.\n"
            "  Store them with --dtype bfloat16, int8 or float32."
        )
    return StoredRows(x.to(TORCH_DTYPES[dtype]), None, norm)


def decode(x: Tensor, scale: Float[Tensor, " R"] | None = None) -> Float[Tensor, "R D"]:
    """The rows that `encode` stored, in float32; the plain twin of the copies that a reader makes."""
    return x.to(torch.float32) if scale is None else x.to(torch.float32) * scale.unsqueeze(-1)
