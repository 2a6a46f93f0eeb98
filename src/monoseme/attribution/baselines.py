"""What an ablated code is replaced with: zero, the latent's mean, or its code in another prompt.

Letters: F latents, m codes asked about.
"""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch

from monoseme.attribution._codes_at import CodesAt
from monoseme.core.errors import ConfigError
from monoseme.core.seeds import generator
from monoseme.tensors.shapes import Float, Int, Tensor


@runtime_checkable
class Baseline(Protocol):
    """Where codes go when they are ablated."""

    def values(self, codes: CodesAt, row: Int[Tensor, " m"], latent: Int[Tensor, " m"]) -> Float[Tensor, " m"]:
        """What stands in for the code of `latent` in `row`, float64."""
        ...


@dataclass(frozen=True)
class Zero:
    """The latent does not fire."""

    def values(self, codes: CodesAt, row: Int[Tensor, " m"], latent: Int[Tensor, " m"]) -> Float[Tensor, " m"]:
        """Zeros."""
        del codes, latent
        return torch.zeros(len(row), dtype=torch.float64)


@dataclass(frozen=True, eq=False)
class Mean:
    """The latent fires as it does on average."""

    mean: Float[Tensor, " F"]
    """Over whatever text the caller takes for average, tokens where it does not fire included."""

    def values(self, codes: CodesAt, row: Int[Tensor, " m"], latent: Int[Tensor, " m"]) -> Float[Tensor, " m"]:
        """The mean of each latent. Raises ConfigError for means of another SAE."""
        del row
        if self.mean.shape != (codes.n_latents,):
            raise ConfigError(f"means of the shape {tuple(self.mean.shape)} do not fit an SAE of {codes.n_latents:,} latents")
        return self.mean.detach().cpu().double()[latent]


@dataclass(frozen=True)
class Resample:
    """The latent fires as it does at a position of another prompt, drawn anew for each position.

    All latents of a position take their codes from the same other position.
    """

    seed: int = 0

    def values(self, codes: CodesAt, row: Int[Tensor, " m"], latent: Int[Tensor, " m"]) -> Float[Tensor, " m"]:
        """Codes at the drawn positions. Raises ConfigError where all positions are of one prompt."""
        return codes.lookup(self._donors(codes.prompt)[row], latent)

    def _donors(self, prompt: Int[Tensor, " T"]) -> Int[Tensor, " T"]:
        """A row of another prompt for each row; rows of one prompt lie together."""
        _, which, sizes = prompt.unique_consecutive(return_inverse=True, return_counts=True)
        if len(sizes) < 2:
            raise ConfigError("resampling takes codes from other prompts, but all positions are of one: give several prompts")
        size, first = sizes[which], (sizes.cumsum(0) - sizes)[which]
        drawn = torch.rand(len(prompt), generator=generator(self.seed, "resample"), dtype=torch.float64)
        place = (drawn * (len(prompt) - size)).long()
        return torch.where(place < first, place, place + size)
