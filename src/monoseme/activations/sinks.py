"""Attention sinks: the few tokens whose residual is tens of times longer than any other, and which teach an SAE nothing.

The first token of a context and some delimiters serve attention as a place to look at when there is nothing to see. Their
vectors are all but constant and so long that they dominate every loss and every measure of variance.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch

from monoseme.activations.block import Block
from monoseme.core.errors import ConfigError
from monoseme.models.site import Site
from monoseme.tensors.shapes import Bool, Tensor


@dataclass(frozen=True, kw_only=True)
class SinkFilter:
    """Leaves out tokens whose vector, at any captured site, is longer than `factor` times the median of that site."""

    factor: float = 10.0
    """Multiple of the median norm. Sinks are 20 to 1000 times as long as other tokens, and these rarely twice as long."""
    n_blocks: int = 1
    """Blocks from the start of the source over which the median is taken."""
    thresholds: Mapping[str, float | None] | None = None
    """Longest norm let through per site, None for any (None as a whole: measured). A held-out source is given those of the
    training source."""

    def __post_init__(self) -> None:
        """Raises ConfigError for a factor that would leave out ordinary tokens, or no blocks to measure on."""
        if not self.factor > 1.0:
            raise ConfigError(f"the factor of the attention-sink filter is {self.factor}; it must be above 1")
        if self.n_blocks < 1:
            raise ConfigError(f"the attention-sink filter needs at least one block to measure on, not {self.n_blocks}")


def measure_thresholds(blocks: list[Block], *, factor: float) -> dict[Site, float]:
    """`factor` times the median norm of the unmasked tokens at each site; infinite where that median is 0 or unknown.

    Norms are in float32, limits rounded to four digits: the last bits of a forward, which other threads or batches change, then
    decide neither what is a sink nor the bytes of a store's index. The lower median is taken: it is one of the norms.
    """
    thresholds: dict[Site, float] = {}
    for site in blocks[0].activations:
        norms = torch.cat([_norms(block.activations[site])[block.mask] for block in blocks])
        median = float(norms.median()) if norms.numel() else 0.0
        thresholds[site] = float(f"{factor * median:.4g}") if median > 0 else float("inf")
    return thresholds


def find_sinks(activations: Mapping[Site, Tensor], thresholds: Mapping[Site, float]) -> Bool[Tensor, "n S"]:
    """Which tokens [n, S] are sinks at any of the sites, on the CPU. Vectors that are not finite are not called sinks."""
    norms = {site: _norms(activations[site]) for site in thresholds}
    return torch.stack([(norms[site] > limit) & norms[site].isfinite() for site, limit in thresholds.items()]).any(dim=0)


def _norms(x: Tensor) -> Tensor:
    return torch.linalg.vector_norm(x, dim=-1, dtype=torch.float32).cpu()
