"""Contexts with masked positions, as contexts whose valid positions come first: what lies behind cannot matter to a causal SAE.

So a masked position is not skipped by a rule of its own: it is not there, and "previous" means the previous valid position.
Letters: n contexts, S positions.
"""

from typing import NamedTuple

import torch

from monoseme.tensors.shapes import Bool, Float, Int, Tensor


class Packed(NamedTuple):
    """Contexts with their valid positions in front."""

    x: Float[Tensor, "n S D"]
    """Zeros behind the valid positions."""
    valid: Bool[Tensor, "n S"] | None
    """Which of these positions hold something; None for all."""
    order: Int[Tensor, "n S"] | None
    """Where each position stood before; None where none moved."""

    def rows(self, values: Float[Tensor, "n S width"]) -> Float[Tensor, "B width"]:
        """The valid positions of something computed from `x`, in reading order."""
        return values.flatten(0, 1) if self.valid is None else values[self.valid]

    def unpack(self, values: Float[Tensor, "n S width"]) -> Float[Tensor, "n S width"]:
        """Something computed from `x`, back where it stood, with zeros at masked positions."""
        if self.valid is None or self.order is None:
            return values
        kept = torch.where(self.valid.unsqueeze(2), values, 0.0)
        return kept.gather(1, self.order.argsort(1).unsqueeze(2).expand_as(kept))


def pack(x: Float[Tensor, "n S D"], mask: Bool[Tensor, "n S"] | None) -> Packed:
    """Masked positions (NaN or anything) become zeros at the end."""
    if mask is None or bool(mask.all()):
        return Packed(x, None, None)
    order = (~mask).to(torch.uint8).sort(dim=1, stable=True).indices
    kept = torch.where(mask.unsqueeze(2), x, 0.0)
    return Packed(kept.gather(1, order.unsqueeze(2).expand_as(kept)), mask.gather(1, order), order)
