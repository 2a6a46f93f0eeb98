"""The latents of one SAE with codes at several layers, from the table of the evaluation `layer_spread`.

Letters: L sites, F latents.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch

from monoseme.evaluation import EvalResult
from monoseme.evaluation._bootstrap import ratio
from monoseme.evaluation._layer_statistics import layer_statistics
from monoseme.studies._base import Row
from monoseme.tensors.shapes import Float, Int, Tensor

SHOWN = (
    "sae",
    "latent",
    "count",
    "total",
    "layer_mean",
    "layer_std",
    "n_layers",
    "layer_entropy",
    "bimodality",
    "share_at_token",
)
"""Columns of the table of latents that a page has room for."""


class Latents(NamedTuple):
    """Sums of one SAE's latents by site."""

    sae: str
    sites: tuple[str, ...]
    position: Float[Tensor, " L"]
    counts: Int[Tensor, "L F"]
    totals: Float[Tensor, "L F"]
    rows: tuple[Row, ...]
    """Of the evaluation's table `latents`, in the order of the latents."""

    @property
    def probs(self) -> Float[Tensor, "L F"]:
        """P(l | j); NaN for a latent that never fires."""
        return layer_statistics(self.totals, self.position).probs

    @property
    def mean(self) -> Float[Tensor, " F"]:
        """Mean layer; NaN for a latent that never fires."""
        return layer_statistics(self.totals, self.position).mean

    @property
    def alive(self) -> Int[Tensor, " alive"]:
        """Latents that fire, from the earliest mean layer to the latest."""
        fires = (self.totals.sum(0) > 0).nonzero().squeeze(1)
        return fires[self.mean[fires].argsort(stable=True)]


def latents_of(found: EvalResult) -> Latents:
    """Raises KeyError for a result without the tables of `layer_spread`."""
    table, sites = found.tables["latents"].to_pydict(), found.tables["sites"].to_pydict()
    rows = [dict(zip(table, values, strict=True)) for values in zip(*table.values(), strict=True)]
    return Latents(
        sae=found.subject,
        sites=tuple(sites["site"]),
        position=torch.tensor(sites["position"], dtype=torch.float64),
        counts=torch.tensor(table["counts"]).T,
        totals=torch.tensor(table["totals"], dtype=torch.float64).T,
        rows=tuple({name: value for name, value in row.items() if name not in ("counts", "totals")} for row in rows),
    )


def latent_rows(latents: Latents, *, min_count: int) -> list[Row]:
    """A row for each latent. `n_layers` counts layers with `min_count` firings or more; `distance_to_layer` is how far the mean
    layer is from the nearest site; `even_mean` is the mean layer if all layers had the same activation in total."""
    n_layers = (latents.counts >= min_count).sum(0)
    nearest = (latents.position[:, None] - latents.mean).abs().amin(0)
    even = layer_statistics(ratio(latents.totals, _per_layer(latents)).nan_to_num(nan=0.0), latents.position).mean
    own = {"n_layers": n_layers.tolist(), "distance_to_layer": _or_none(nearest), "even_mean": _or_none(even)}
    return [
        {"sae": latents.sae} | row | {name: values[j] if row["count"] else None for name, values in own.items()}
        for j, row in enumerate(latents.rows)
    ]


def _per_layer(latents: Latents) -> Float[Tensor, "L F"]:
    return latents.totals.sum(1, keepdim=True).expand_as(latents.totals)


def _or_none(values: Float[Tensor, " F"]) -> list[float | None]:
    return [value if math.isfinite(value) else None for value in values.tolist()]


def distribution_rows(latents: Latents) -> list[Row]:
    """A row for each latent that fires and each site: counts, totals and P(l | j)."""
    probs = latents.probs
    return [
        {
            "sae": latents.sae,
            "latent": j,
            "site": site,
            "count": int(latents.counts[i, j]),
            "total": float(latents.totals[i, j]),
            "probability": float(probs[i, j]),
        }
        for j in sorted(latents.alive.tolist())
        for i, site in enumerate(latents.sites)
    ]


_QUANTITIES = ("layer_std", "layer_entropy", "n_layers", "bimodality", "valley")


def population_rows(sae: str, rows: Sequence[Row], *, n_layers: int) -> list[Row]:
    """MLSAE's columns over the latents that fire: mean, var, std, sem, and `rel`: the mean / the largest value that can be.

    Largest: L for a standard deviation (as MLSAE has it) and for a number of layers, ln L for an entropy, 1 for a coefficient,
    1/2 for a valley. `sem` takes latents as independent.
    """
    largest = {"layer_entropy": math.log(n_layers), "bimodality": 1.0, "valley": 0.5}
    made: list[Row] = []
    for name in _QUANTITIES:
        values = torch.tensor([row[name] for row in rows if row[name] is not None], dtype=torch.float64)
        if len(values):
            var = float(values.var()) if len(values) > 1 else None
            std = None if var is None else math.sqrt(var)
            sem = None if std is None else std / math.sqrt(len(values))
            rel = float(values.mean()) / largest.get(name, n_layers)
            made.append({"sae": sae, "quantity": name, "n": len(values), "mean": float(values.mean()), "var": var, "std": std,
                         "sem": sem, "rel": rel})  # fmt: skip
    return made
