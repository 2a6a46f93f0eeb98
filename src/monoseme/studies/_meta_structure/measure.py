"""What a meta-SAE explains of one decoder: of held-out rows, of random rows like them, and of the rows it learned from."""

from typing import NamedTuple

import torch

from monoseme.core.errors import UndefinedMetricError
from monoseme.core.seeds import derive_seed
from monoseme.evaluation import DocumentWeights, directions_of
from monoseme.evaluation._meta_structure import (
    Errors,
    MetaSettings,
    alike_at_random,
    errors_of,
    explained,
    fit_meta_sae,
    held_out_rows,
)
from monoseme.saes import SAE
from monoseme.tensors.shapes import Float, Tensor


class Measured(NamedTuple):
    """Replicates are of the rows drawn anew; the first is the estimate. JSON as it is."""

    n_rows: int
    n_held_out: int
    width: int
    """Of the rows (D)."""
    held_out: list[float]
    """[W]."""
    random_rows: list[float]
    """[W]: held-out random rows."""
    as_saebench: list[float]
    """[W]: the rows it was trained on, all of them."""
    n_active: float
    """Latents that are on for a held-out row, on average."""
    mse_as_saebench: float
    """Mean squared error of an entry, over all rows."""


def measure(
    sae: SAE,
    *,
    n_sites: int,
    settings: MetaSettings,
    held_out_fraction: float,
    most_rows: int,
    n_replicates: int,
    seed: int,
) -> Measured:
    """Three fits: on a part of the rows, on a part of random ones, on all. Rows that write nothing are left out.

    Raises UndefinedMetricError for fewer than eight rows.
    """
    rows = _rows(sae, n_sites=n_sites, most=most_rows, seed=seed)
    train, held = held_out_rows(len(rows), held_out_fraction, seed=seed)
    n_latents = settings.n_latents(len(rows))
    weights = DocumentWeights(n_replicates=n_replicates, seed=seed)

    def fitted(of: Float[Tensor, "N D"], fit_to: Tensor, measured_on: Tensor, name: str) -> Errors:
        meta = fit_meta_sae(of[fit_to], settings, n_latents=n_latents, seed=derive_seed(seed, name))
        return errors_of(meta, of[measured_on], mean=of[fit_to].mean(0))

    every = torch.arange(len(rows))
    ours = fitted(rows, train, held, "rows")
    control = fitted(alike_at_random(rows, seed=seed), train, held, "random rows")
    theirs = fitted(rows, every, every, "all rows")
    some, all_of = weights.of(held.tolist()), weights.of(every.tolist())
    return Measured(
        n_rows=len(rows),
        n_held_out=len(held),
        width=rows.shape[1],
        held_out=explained(ours, some).tolist(),
        random_rows=explained(control, some).tolist(),
        as_saebench=explained(theirs, all_of).tolist(),
        n_active=ours.n_active,
        mse_as_saebench=float(theirs.left.sum()) / rows.numel(),
    )


def _rows(sae: SAE, *, n_sites: int, most: int, seed: int) -> Float[Tensor, "N D"]:
    found = directions_of(sae, n_sites=n_sites)
    found = found[found.norm(dim=1) > 0]
    if len(found) < 8:
        raise UndefinedMetricError(f"{len(found)} latents write anything; 8 are needed to hold rows out")
    draws = torch.Generator().manual_seed(derive_seed(seed, "drawn rows"))
    return found if len(found) <= most else found[torch.randperm(len(found), generator=draws)[:most].sort().values]
