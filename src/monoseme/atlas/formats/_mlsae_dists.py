"""How a multi-layer SAE's latents spread over layers, from the counts and sums of their activations: MLSAE's distributions.

Files: safetensors with `counts` and `totals` float32 [L, F]; rows with latent, count, total, mean, layer_mean, layer_var,
layer_std and the lists counts, totals, means, probs over layers. With p_l = totals_l / sum of totals: layer_mean = sum l p_l,
layer_var = sum l^2 p_l - layer_mean^2.

Source: Lawson et al. 2025, arXiv:2409.04185; `mlsae/analysis/dists.py`. Its counts are of places in the top k, so that they hold
codes of 0 and below too; ours are of firings.
Letters: L layers, F latents.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file

from monoseme.core.errors import ForeignError

_NO_DIVISION_BY_0 = 1e-8
ROW_TYPES = pa.schema(
    [
        ("latent", pa.int64()),
        *((name, pa.float64()) for name in ("count", "total", "mean", "layer_mean", "layer_var", "layer_std")),
        *((name, pa.list_(pa.float64())) for name in ("counts", "totals", "means", "probs")),
    ]
)


class LayerSpread(NamedTuple):
    """Where each latent is active, float64 [F]; NaN for one that never is."""

    layer_mean: NDArray[np.float64]
    layer_var: NDArray[np.float64]
    layer_std: NDArray[np.float64]


class LayerDists(NamedTuple):
    """Counts and sums of activations by layer, float32 [L, F]."""

    counts: NDArray[np.float32]
    totals: NDArray[np.float32]

    def spread(self) -> LayerSpread:
        """Mean and variance of the layer, weighted by activation."""
        probs = self.probs()
        layers = np.arange(len(probs), dtype=np.float64)[:, None]
        mean = (probs * layers).sum(axis=0)
        var = (probs * layers**2).sum(axis=0) - mean**2
        return LayerSpread(mean, var, np.sqrt(np.maximum(var, 0.0)))

    def probs(self) -> NDArray[np.float64]:
        """Share of a latent's activation in each layer, [L, F]; NaN for a latent without any."""
        totals = self.totals.astype(np.float64)
        whole = totals.sum(axis=0)
        return np.divide(totals, whole, out=np.full_like(totals, np.nan), where=whole != 0)

    def rows(self) -> Iterator[dict[str, Any]]:
        """A row for each latent, with None for what does not exist."""
        probs, spread = self.probs(), self.spread()
        counts, totals = self.counts.astype(np.float64), self.totals.astype(np.float64)
        means = totals / (counts + _NO_DIVISION_BY_0)
        count, total = counts.sum(axis=0), totals.sum(axis=0)
        for latent in range(self.counts.shape[1]):
            yield {
                "latent": latent,
                "count": float(count[latent]),
                "total": float(total[latent]),
                "mean": float(total[latent] / (count[latent] + _NO_DIVISION_BY_0)),
                **{name: _known(values[latent]) for name, values in spread._asdict().items()},
                "counts": counts[:, latent].tolist(),
                "totals": totals[:, latent].tolist(),
                "means": means[:, latent].tolist(),
                "probs": [_known(value) for value in probs[:, latent]],
            }


def read_dists(path: Path) -> LayerDists:
    """The distributions in a safetensors file. Raises ForeignError for one that holds none."""
    try:
        tensors = load_file(path)
    except (OSError, SafetensorError, ValueError, KeyError) as error:  # a type that NumPy does not have is a KeyError
        raise ForeignError(f"{path} cannot be read as safetensors ({error})") from error
    counts, totals = tensors.get("counts"), tensors.get("totals")
    if counts is None or totals is None or counts.ndim != 2 or counts.shape != totals.shape:
        raise ForeignError(f"{path} should hold counts and totals of one shape [layers, latents], but holds {sorted(tensors)}")
    if not (np.isfinite(counts).all() and np.isfinite(totals).all()):
        raise ForeignError(f"{path} holds numbers that are not finite")
    return LayerDists(counts.astype(np.float32), totals.astype(np.float32))


def _known(value: np.float64) -> float | None:
    return float(value) if np.isfinite(value) else None
