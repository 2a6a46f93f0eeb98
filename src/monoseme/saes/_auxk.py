"""AuxK as a setting: how strong the loss that revives dead latents is, how many it asks, and on which rows of a batch.

The loss itself (`_dead.auxk`) costs about as much as the rest of a step, as it takes hundreds of dead latents per row where the
code takes k. Each step takes one row in `auxk_one_in`: those of the batch that are reconstructed worst, which have the most to
offer to a latent without work. A row's error is the squared norm of what the reconstruction leaves over, in the space of the loss
and summed over all that the row gives back. Rows rather than steps are left out because Adam divides a latent's gradient by its
own running size: one that comes every fourth step moves it half as far as the same gradient spread over four.

Source: Gao et al. 2024 (arXiv:2406.04093), appendix A.2. The part of the rows is ours; `docs/results/auxk_schedule.md` has what
it does to revival.
Letters: B rows, D model width.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import torch

from monoseme.core.errors import ConfigError
from monoseme.saes._base import SAE
from monoseme.saes._dead import EVERY_ROW, Chosen, default_k_aux
from monoseme.saes._settings import check_coefficient, refuse_unused
from monoseme.tensors.processes import ALONE, Group
from monoseme.tensors.shapes import Float, Tensor


@dataclass(frozen=True, kw_only=True)
class AuxKConfig(SAE.Config):
    """Settings of every architecture that revives its dead latents by AuxK."""

    before: ClassVar[Mapping[str, Any]] = {"auxk_one_in": 1, "auxk_rows": "by turns"}

    auxk_coefficient: float = 1 / 32
    """Weight of the auxiliary loss that revives dead latents; 0 turns it off."""
    k_aux: int | None = None
    """Dead latents per token in the auxiliary loss (count); None for the power of two nearest half the width."""
    auxk_one_in: int = 4
    """The auxiliary loss is taken on one token in so many, those of the batch that are reconstructed worst (count). 1: on all, as
    in the paper, which costs about as much as the rest of the step."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_coefficient("auxk_coefficient", self.auxk_coefficient)
        if self.k_aux is not None and self.k_aux < 1:
            raise ConfigError(
                f"k_aux is {self.k_aux}; it must be at least 1, or None for the power of two nearest half the width"
            )
        if self.auxk_one_in < 1:
            raise ConfigError(f"auxk_one_in is {self.auxk_one_in}; it must be at least 1 (1: every token takes part)")
        if not self.auxk_coefficient:
            refuse_unused(self, "auxk_one_in", because="auxk_coefficient is 0, which turns the auxiliary loss off")

    @property
    def rules(self) -> Mapping[str, str]:
        """Which rows the auxiliary loss takes, where it does not take all."""
        return {"auxk_rows": "worst"} if self.auxk_coefficient and self.auxk_one_in > 1 else {}


class AuxK(NamedTuple):
    """The auxiliary loss of one SAE."""

    k: int
    """Dead latents per row (count)."""
    coefficient: float
    one_in: int = 1
    """One row in so many takes part (count)."""

    @classmethod
    def of(cls, config: AuxKConfig, d_in: int) -> "AuxK":
        """As configured, for activations of that width."""
        return cls(config.k_aux or default_k_aux(d_in), config.auxk_coefficient, config.auxk_one_in)

    def worst(self, squares: Float[Tensor, " B"], *, ranks: Group = ALONE) -> Chosen:
        """The rows on which the loss is taken, from every row's squared error: the largest, where they tie the first.

        Of n rows n / one_in, rounded up. They are of the batch of all `ranks`, one rank's rows after the other's: a rank may have
        none of them, but all must call.
        """
        if self.one_in == 1:
            return EVERY_ROW
        everywhere = ranks.gather_rows(squares.detach())
        together = torch.cat(everywhere)
        n_rows = len(together)
        n_chosen = math.ceil(n_rows / self.one_in)
        rows = together.argsort(descending=True, stable=True)[:n_chosen].sort().values
        if ranks.size == 1:
            return Chosen(rows)
        first = sum(len(part) for part in everywhere[: ranks.rank])
        here = rows[(rows >= first) & (rows < first + len(squares))] - first
        return Chosen(here, len(here) / n_chosen * n_rows / max(1, len(squares)))
