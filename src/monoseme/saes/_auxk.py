"""AuxK as a setting: how strong the loss that revives dead latents is, how many it asks, and on which rows of a batch.

The loss itself (`_dead.auxk`) costs about as much as the rest of a step, as it takes hundreds of dead latents per row where the
code takes k. It is a mean over rows, so a part of them gives the same loss on average: each step takes one row in `auxk_one_in`,
and the next step others, so that all take part. Rows rather than steps are left out because Adam divides a latent's gradient by
its own running size: one that comes every fourth step moves it half as far as the same gradient spread over four.

Source: Gao et al. 2024 (arXiv:2406.04093), appendix A.2. The part of the rows is ours; `docs/results/auxk_schedule.md` has what
it does to revival.
Letters: B rows, D model width.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import torch

from monoseme.core.errors import ConfigError
from monoseme.saes._base import SAE
from monoseme.saes._dead import Turn, default_k_aux
from monoseme.saes._settings import check_coefficient, refuse_unused
from monoseme.tensors.processes import ALONE, Group


@dataclass(frozen=True, kw_only=True)
class AuxKConfig(SAE.Config):
    """Settings of every architecture that revives its dead latents by AuxK."""

    before: ClassVar[Mapping[str, Any]] = {"auxk_one_in": 1}

    auxk_coefficient: float = 1 / 32
    """Weight of the auxiliary loss that revives dead latents; 0 turns it off."""
    k_aux: int | None = None
    """Dead latents per token in the auxiliary loss (count); None for the power of two nearest half the width."""
    auxk_one_in: int = 4
    """The auxiliary loss is taken on one token in so many at each step, on others at the next (count). 1: on all, as in the
    paper, which costs about as much as the rest of the step; better for small batches."""

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


class AuxK(NamedTuple):
    """The auxiliary loss of one SAE."""

    k: int
    """Dead latents per row (count)."""
    coefficient: float
    one_in: int = 1
    """One row in so many takes part at each step (count)."""

    @classmethod
    def of(cls, config: AuxKConfig, d_in: int) -> "AuxK":
        """As configured, for activations of that width."""
        return cls(config.k_aux or default_k_aux(d_in), config.auxk_coefficient, config.auxk_one_in)

    def turn(self, n_rows: int, step: int, *, ranks: Group = ALONE, device: torch.device | None = None) -> Turn:
        """The rows, of so many, that take part at a step; at least one where there is one.

        They are those of the batch of all `ranks`, one rank's rows after the other's, so that a rank may have none. Ranks tell
        each other how many rows they have, by tensors on `device`.
        """
        counts = [int(n) for n in ranks.gather(torch.tensor([n_rows], device=device))]
        total, before = sum(counts), sum(counts[: ranks.rank])
        first = step % max(1, min(self.one_in, total))
        rows = slice((first - before) % self.one_in if before > first else first - before, None, self.one_in)
        if ranks.size == 1:
            return Turn(rows)
        n_here, n_all = len(range(n_rows)[rows]), len(range(first, total, self.one_in))
        return Turn(rows, n_here / n_all * total / max(1, n_rows))
