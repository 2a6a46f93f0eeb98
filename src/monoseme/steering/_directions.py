"""Directions to steer with: what a latent writes, and the baselines beside it.

Source: difference in means: Marks and Tegmark 2023, arXiv:2310.06824; Turner et al. 2023, arXiv:2308.10248 (activation addition).
Letters: N rows with the concept, M rows without, D width.
"""

from dataclasses import dataclass

import torch

from monoseme.core.errors import ConfigError
from monoseme.core.seeds import generator
from monoseme.models import Site
from monoseme.probes.linear import LinearProbe
from monoseme.splice import Placed
from monoseme.steering._writing import written
from monoseme.tensors.shapes import Float, Tensor


@dataclass(frozen=True, eq=False)
class Direction:
    """A vector in the activations of a site; a strength of 1raw adds it as it is."""

    vector: Float[Tensor, " D"]
    name: str
    """What it is, for people."""

    def __repr__(self) -> str:
        return f"Direction({self.name!r}, D={len(self.vector)})"

    def scaled_to(self, length: float) -> "Direction":
        """The same direction, so long. Raises ConfigError for a vector of zeros."""
        norm = float(self.vector.double().norm())
        if not norm > 0:
            raise ConfigError(f"{self.name} is a vector of zeros: it has no direction")
        return Direction((self.vector.double() * (length / norm)).to(self.vector.dtype), self.name)


def decoder_direction(placed: Placed, latent: int, *, site: Site | None = None) -> Direction:
    """What a code of 1 for a latent adds at one of the SAE's outputs (None: the first)."""
    site = placed.outputs[0] if site is None else site
    return Direction(written(placed, [latent], site)[0], f"latent {latent}")


def difference_in_means(present: Float[Tensor, "N D"], absent: Float[Tensor, "M D"], *, name: str) -> Direction:
    """The mean of the rows with a concept less that of those without, in float64. Raises ConfigError where there are none."""
    if not len(present) or not len(absent):
        raise ConfigError(f"a difference in means needs rows with {name} and rows without, not {len(present)} and {len(absent)}")
    vector = present.double().mean(0) - absent.double().mean(0)
    return Direction(vector.to(torch.float32), f"difference in means: {name}")


def probe_direction(probe: LinearProbe, name: str) -> Direction:
    """The unit weights of one class of a probe on raw activations. Raises ConfigError for a class without a probe."""
    return Direction(probe.direction(name).detach().float(), f"probe: {name}").scaled_to(1.0)


def random_direction(d: int, *, seed: int, length: float = 1.0) -> Direction:
    """A direction drawn uniformly from the sphere."""
    drawn = torch.randn(d, generator=generator(seed, "steering", "random"), dtype=torch.float64)
    return Direction(drawn.float(), f"random, seed {seed}").scaled_to(length)
