"""Which latents of an atlas a command is about: named, drawn, or those of a density."""

import re
from dataclasses import dataclass

import numpy as np

from monoseme.atlas.latents import Latents
from monoseme.core.errors import ConfigError
from monoseme.core.seeds import derive_seed

_RANGES = re.compile(r"\d+(-\d+)?(,\d+(-\d+)?)*")


@dataclass(frozen=True, kw_only=True)
class LatentChoice:
    """Which latents; by default all of them. What is set holds together: of those named, of a density, drawn."""

    latents: str | None = None
    """Numbers and ranges, such as 0-99 or 3,17,40-49. None: all."""
    min_density: float | None = None
    """Leave out latents that fire on a smaller share of tokens, in [0, 1]."""
    max_density: float | None = None
    """Leave out latents that fire on a larger share of tokens, in [0, 1]."""
    sample: int | None = None
    """Draw so many of those that ever fired (count); a larger sample of the same seed holds the smaller one. None: no draw."""
    seed: int = 0
    """Seed of the draw."""

    def __post_init__(self) -> None:
        if self.latents is not None and not _RANGES.fullmatch(self.latents.replace(" ", "")):
            raise ConfigError(f'"{self.latents}" names no latents.\n  Write numbers and ranges, such as:  --latents 0-99,205')
        if self.sample is not None and self.sample < 1:
            raise ConfigError(f"sample must be at least 1, not {self.sample}")
        for name in ("min_density", "max_density"):
            value = getattr(self, name)
            if value is not None and not 0 <= value <= 1:
                raise ConfigError(f"{name} is a share of tokens, from 0 to 1, not {value}")
        if self.min_density is not None and self.max_density is not None and self.min_density > self.max_density:
            raise ConfigError(f"no latent has a density of at least {self.min_density} and at most {self.max_density}")

    def of(self, latents: Latents) -> list[int]:
        """The numbers chosen, ascending. Raises ConfigError for a latent there is not, and where nothing is left."""
        densities = latents.densities()
        chosen = np.zeros(latents.n_latents, dtype=bool)
        for first, last in self._ranges(latents.n_latents):
            latents.check_latent(last)
            chosen[first : last + 1] = True
        if self.min_density is not None:
            chosen &= densities >= self.min_density
        if self.max_density is not None:
            chosen &= densities <= self.max_density
        if self.sample is not None:
            chosen &= densities > 0
        numbers = np.nonzero(chosen)[0]
        if self.sample is not None:
            drawn = np.random.default_rng(derive_seed(self.seed, "latents")).permutation(latents.n_latents)
            numbers = np.sort(drawn[chosen[drawn]][: self.sample])
        if not len(numbers):
            raise ConfigError(f"{latents.key} has no latent that is asked for by {self}.")
        return numbers.tolist()

    def _ranges(self, n_latents: int) -> list[tuple[int, int]]:
        if self.latents is None:
            return [(0, n_latents - 1)]
        ends = [part.split("-") for part in self.latents.replace(" ", "").split(",")]
        ranges = [(int(end[0]), int(end[-1])) for end in ends]
        for first, last in ranges:
            if first > last:
                raise ConfigError(f"the range {first}-{last} of latents runs backwards.\n  Write:  {last}-{first}")
        return ranges
