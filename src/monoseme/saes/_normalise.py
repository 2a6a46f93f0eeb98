"""Input normalisation: what an SAE divides and shifts before it encodes, the way back, and which of it folds into the weights.

    kind                 x_normalised                           folds at export
    none                 x                                      nothing to fold
    unit_mean_square     x / sqrt(mean ||x||^2)                 yes
    inverse_mean_norm    x / mean ||x||                         yes
    constant             x * constant                           yes
    standardise          (x - mean_D x) / (std_D x + eps)       no: each vector has its own
    vector_norm          x sqrt(D) / ||x||                      no: each vector has its own

Means over the sample given to `start`. The standard deviation is the unbiased one, as MLSAE and llama3-sae have it. vector_norm
is SAELens' `constant_norm_rescale`: every vector gets the norm sqrt(D), the root mean square 1; a vector of zeros stays zero.
"""

import math
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch

from monoseme.core.errors import ConfigError
from monoseme.tensors.shapes import Bool, Float, Tensor

Kind = Literal["none", "unit_mean_square", "inverse_mean_norm", "constant", "standardise", "vector_norm"]
_EPS = 1e-5
_PER_VECTOR = ("standardise", "vector_norm")


@dataclass(frozen=True, kw_only=True)
class NormaliseConfig:
    """How raw activations are scaled before encoding."""

    kind: Kind = "unit_mean_square"
    """unit_mean_square makes learning rates comparable between models and layers."""
    constant: float | None = None
    """Factor on x; only with kind "constant", where it is needed."""
    eps: float = _EPS
    """Added to each vector's standard deviation; only with kind "standardise" (in units of the activations)."""

    def __post_init__(self) -> None:
        if (self.constant is not None) != (self.kind == "constant"):
            raise ConfigError(
                f'normalise.constant is {self.constant} with kind "{self.kind}": it belongs to kind "constant", and only there'
            )
        if self.constant is not None and not self.constant > 0:
            raise ConfigError(f"normalise.constant is {self.constant}; it must be positive")
        if self.eps != _EPS and self.kind != "standardise":
            raise ConfigError(f'normalise.eps is {self.eps} with kind "{self.kind}": only "standardise" uses it')
        if not self.eps >= 0:
            raise ConfigError(f"normalise.eps is {self.eps}; it must not be negative")

    @property
    def folds(self) -> bool:
        """Whether export can put it into the weights."""
        return self.kind not in _PER_VECTOR


class Normalised(NamedTuple):
    """Flattened rows in the normalised space and the way back."""

    rows: Float[Tensor, "B D"]
    leading: tuple[int, ...]
    offset: Float[Tensor, "*lead 1"] | None
    scale: Float[Tensor, "*lead 1"] | None


def measure_scale(config: NormaliseConfig, sample: Float[Tensor, "N D"]) -> float:
    """The factor on x; reductions in float64. 1.0 where nothing is measured."""
    if config.kind == "constant" and config.constant is not None:
        return config.constant
    squares = sample.double().square().sum(1)
    if config.kind == "unit_mean_square":
        return float(squares.mean().rsqrt())
    if config.kind == "inverse_mean_norm":
        return float(squares.sqrt().mean().reciprocal())
    return 1.0


def normalise(config: NormaliseConfig, x: Float[Tensor, "*lead D"], factor: Float[Tensor, ""]) -> Normalised:
    """Raw activations to the normalised space, in the dtype of `factor`; `factor` is the measured scale."""
    leading = tuple(x.shape[:-1])
    x = x.to(factor.dtype)
    if config.kind == "standardise":
        # std_mean warns about an empty batch, which has no vector whose deviation could be undefined
        scale, offset = torch.std_mean(x, dim=-1, keepdim=True) if x.numel() else (x[..., :1], x[..., :1])
        scale = scale + config.eps
        return Normalised(((x - offset) / scale).reshape(-1, x.shape[-1]), leading, offset, scale)
    if config.kind == "vector_norm":
        scale = (x.norm(dim=-1, keepdim=True) / math.sqrt(x.shape[-1])).clamp_min(torch.finfo(x.dtype).tiny)
        return Normalised((x / scale).reshape(-1, x.shape[-1]), leading, torch.zeros_like(scale), scale)
    if config.kind != "none":
        x = x * factor
    return Normalised(x.reshape(-1, x.shape[-1]), leading, None, None)


def denormalised(
    x_hat: Float[Tensor, "B D"], rows: Normalised, factor: Float[Tensor, ""], *, mask: Bool[Tensor, "*lead"] | None = None
) -> Float[Tensor, "B D"]:
    """Reconstructions of `rows` (of those that `mask` marks) as raw activations, differentiable; `factor` as in `normalise`."""
    raw = x_hat / factor
    if rows.scale is None or rows.offset is None:
        return raw
    scale, offset = (t.reshape(-1, 1) if mask is None else t[mask] for t in (rows.scale, rows.offset))
    return raw * scale + offset
