"""Multi-TopK: the reconstruction from a larger budget of latents, added to the loss with a small weight.

    loss + coefficient * mean_b ||x - x_hat(m k)||^2 / V

It keeps codes usable at more than k latents, and gives a gradient to those just below the cut.

Source: Gao et al. 2024, arXiv:2406.04093, on progressive codes (Multi-TopK: m = 4, coefficient 1/8).
"""

from dataclasses import dataclass

from monoseme.core.errors import ConfigError
from monoseme.saes._base import SAE
from monoseme.saes._codes import Losses, with_parts
from monoseme.saes._normalise import Normalised
from monoseme.saes._settings import check_coefficient, refuse_unused
from monoseme.tensors.sparse import SparseCodes


@dataclass(frozen=True, kw_only=True)
class MultiKConfig:
    """Settings of Multi-TopK."""

    multiple: int = 4
    """Size of the larger budget (times k, at least 2)."""
    coefficient: float = 0.0
    """Weight of its reconstruction; 0 turns it off, 1/8 is the paper's."""

    def __post_init__(self) -> None:
        if self.multiple < 2:
            raise ConfigError(f"multi_k.multiple is {self.multiple}; it must be at least 2")
        check_coefficient("multi_k.coefficient", self.coefficient)
        if not self.coefficient:
            refuse_unused(self, "multiple", because="multi_k.coefficient is 0, which turns the larger budget off")


def with_multi_k(losses: Losses, sae: SAE, rows: Normalised, codes: SparseCodes, *, coefficient: float) -> Losses:
    """The losses with the part `multi_k`: the reconstruction of `rows` from codes of the larger budget."""
    residual = rows.rows - sae.kernels.decode(codes, sae.W_dec, sae.b_dec)
    term = coefficient * residual.square().sum(1).mean() / sae.input_variance
    return with_parts(losses, {"multi_k": term})
