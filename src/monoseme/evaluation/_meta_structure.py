"""Whether a decoder's rows are themselves sums of a few directions: an SAE on the rows, and what it explains of them.

    explained = 1 - sum |w - w_hat|^2 / sum |w - w_mean|^2

Rows that share parts (a red square, a red circle) are explained by fewer, more basic directions; unrelated ones are not. But any
rows in few dimensions can be explained in part, so the number is read against that of random rows of the same mean and
covariance; and rows that the SAE was fitted to can be learned by heart, so ours is of rows that were held out.

Source: Bussmann et al. 2024 (meta-SAEs), LessWrong, and Leask et al. 2025, arXiv:2502.04878; SAEBench's `meta_structure`, which
trains and measures on all rows.
Letters: N rows, D width, F latents of the meta-SAE, W weightings.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch

from monoseme.core.errors import ConfigError, UndefinedMetricError
from monoseme.core.seeds import derive_seed, generator
from monoseme.saes import SAE
from monoseme.saes.batchtopk import BatchTopK
from monoseme.tensors.shapes import Float, Int, Tensor


@dataclass(frozen=True, kw_only=True)
class MetaSettings:
    """How the meta-SAE is made and trained; the numbers of SAEBench."""

    width_fraction: float = 0.25
    """Its latents as a share of the rows (fraction)."""
    k: int = 4
    """Latents active for each row, on average (count)."""
    n_steps: int = 1500
    """Steps of Adam."""
    batch_size: int = 1024
    """Rows of a step, drawn with replacement (count)."""
    lr: float = 5e-4
    """Learning rate."""

    def __post_init__(self) -> None:
        if min(self.k, self.n_steps, self.batch_size) < 1 or self.lr <= 0:
            raise ConfigError("k, n_steps and batch_size must be at least 1, and lr above 0")
        if not 0.0 < self.width_fraction <= 1.0:
            raise ConfigError(f"width_fraction is {self.width_fraction}; it must be above 0 and at most 1")

    def n_latents(self, n_rows: int) -> int:
        """Of the meta-SAE of so many rows. Raises ConfigError where fewer rows than k are to be made of k of its latents."""
        if self.k > n_rows:
            raise ConfigError(f"k is {self.k}, and there are {n_rows} rows; give a k of at most that, such as 4")
        return max(math.ceil(self.width_fraction * n_rows), self.k)


class Errors(NamedTuple):
    """Squared lengths of each row, float64."""

    left: Float[Tensor, " N"]
    """Of what the meta-SAE does not give back."""
    whole: Float[Tensor, " N"]
    """Of the row around the mean."""
    n_active: float
    """Latents of the meta-SAE that are on for a row, on average."""


def fit_meta_sae(rows: Float[Tensor, "N D"], settings: MetaSettings, *, n_latents: int, seed: int) -> SAE:
    """A BatchTopK SAE of the rows, ready for use; the same seed gives the same bits. Raises ConfigError for one row."""
    if len(rows) < 2:
        raise ConfigError(f"a meta-SAE needs two rows or more, not {len(rows)}")
    x = rows.float()
    # Measured with the k largest of each row: of unseen rows, a threshold learned in training lets through two or three times k.
    config = BatchTopK.Config(
        n_latents=n_latents,
        d_in=x.shape[1],
        k=min(settings.k, n_latents),
        inference="k",
        seed=derive_seed(seed, "meta") % 2**31,
    )
    sae = BatchTopK(config)
    sae.start(x)
    optimiser = torch.optim.Adam(sae.parameters(), lr=settings.lr)
    draws = generator(seed, "meta rows")
    for _ in range(settings.n_steps):
        losses = sae.loss(x[torch.randint(len(x), (settings.batch_size,), generator=draws)])
        optimiser.zero_grad()
        losses.total.backward()
        sae.project_gradients()
        optimiser.step()
        sae.after_step(losses)
    return sae.export()


@torch.no_grad()
def errors_of(sae: SAE, rows: Float[Tensor, "N D"], *, mean: Float[Tensor, " D"]) -> Errors:
    """What the meta-SAE leaves of each row, and how far the row is from `mean`."""
    codes = sae.encode(rows.float())
    left = (rows.double() - sae.decode(codes).double()).square().sum(1)
    whole = (rows.double() - mean.double()).square().sum(1)
    return Errors(left, whole, codes.sparse().nnz / max(len(rows), 1))


def explained(errors: Errors, weights: Float[Tensor, "N W"]) -> Float[Tensor, " W"]:
    """Share of the rows' variance that is explained, under each weighting of the rows.

    Raises UndefinedMetricError if the rows do not differ.
    """
    whole = errors.whole @ weights.double()
    if float(whole[0]) <= 0:
        raise UndefinedMetricError("the rows do not differ, so that there is nothing to explain")
    return 1 - torch.where(whole > 0, errors.left @ weights.double() / whole, torch.nan)


def alike_at_random(rows: Float[Tensor, "N D"], *, seed: int) -> Float[Tensor, "N D"]:
    """As many random rows of length 1: normal ones of the rows' mean and covariance, divided by their length."""
    x = rows.double()
    mean, centred = x.mean(0), x - x.mean(0)
    spread, directions = torch.linalg.eigh(centred.T @ centred / len(x))
    noise = torch.randn(x.shape, generator=generator(seed, "random rows"), dtype=torch.float64)
    drawn = mean + (noise * spread.clamp(min=0).sqrt()) @ directions.T
    return drawn / drawn.norm(dim=1, keepdim=True).clamp(min=1e-300)


def held_out_rows(n_rows: int, fraction: float, *, seed: int) -> tuple[Int[Tensor, " train"], Int[Tensor, " held"]]:
    """Numbers of the rows on each side, in order; at least one is held out, and at least two are not."""
    n_held = min(max(1, round(fraction * n_rows)), n_rows - 2)
    order = torch.randperm(n_rows, generator=generator(seed, "held-out rows"))
    return order[n_held:].sort().values, order[:n_held].sort().values
