"""What goes into and comes out of an SAE: codes, losses and the knobs that training turns.

Letters: B rows, D model width, F latents.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import NamedTuple

import torch

from monoseme.core.config import suggest
from monoseme.core.errors import ConfigError
from monoseme.saes._parts import JOIN
from monoseme.tensors.shapes import Bool, Float, Tensor
from monoseme.tensors.sparse import SparseCodes


@dataclass(frozen=True, eq=False, repr=False)
class Codes:
    """Named parts of a code, each sparse or a dense [*, F] tensor; values may be negative.

    The first part is the whole code, from which `decode` works. Values are in the SAE's `unit`: multiples of decoder rows in
    raw activations ("activation"), or in each vector's own unit ("standardised"); then `offset` and `scale` ([*, 1], its mean and
    std + eps, or 0 and its root mean square) bring the decoded vector back. `base` is what reaches the output past the latents
    (a transcoder's skip connection), in raw activations: `decode` adds it.
    """

    parts: Mapping[str, SparseCodes | Tensor]
    offset: Float[Tensor, "*lead 1"] | None = None
    scale: Float[Tensor, "*lead 1"] | None = None
    base: Float[Tensor, "*lead D_out"] | None = None

    def __repr__(self) -> str:
        return f"Codes({', '.join(f'{name}={part!r}' for name, part in self.parts.items())})"

    @property
    def all(self) -> SparseCodes | Tensor:
        """The whole code."""
        return next(iter(self.parts.values()))

    def part(self, name: str | None = None) -> SparseCodes | Tensor:
        """The part of that name, the whole code for None; "a+b" is two parts together. Raises ConfigError with what there is."""
        if name is None:
            return self.all
        if JOIN in name and name not in self.parts:
            return _together([self.part(each) for each in name.split(JOIN)])
        if name not in self.parts:
            raise ConfigError(
                f'these codes have no part "{name}".{suggest(name, self.parts)}\n  Allowed: {", ".join(self.parts)}'
            )
        return self.parts[name]

    def sparse(self, name: str | None = None) -> SparseCodes:
        """The part as sparse codes without explicit zeros."""
        part = self.part(name)
        return part.drop_zeros() if isinstance(part, SparseCodes) else SparseCodes.from_dense(part)

    def dense(self, name: str | None = None) -> Float[Tensor, "*lead F"]:
        """The part as a dense tensor: for edits and tests."""
        part = self.part(name)
        return part.to_dense() if isinstance(part, SparseCodes) else part

    def select_rows(self, mask: Bool[Tensor, "*lead"]) -> "Codes":
        """The rows that a mask of the leading shape marks, in row-major order, as codes [T, F]."""
        parts = {n: p.select_rows(mask) if isinstance(p, SparseCodes) else p[mask] for n, p in self.parts.items()}
        offset, scale, base = (None if t is None else t[mask] for t in (self.offset, self.scale, self.base))
        return Codes(parts, offset, scale, base)

    def with_all(self, code: SparseCodes | Tensor) -> "Codes":
        """The same vectors with another whole code (an edited one); the other parts are dropped, as they no longer hold."""
        return replace(self, parts={next(iter(self.parts)): code})


def _together(parts: Sequence[SparseCodes | Tensor]) -> SparseCodes | Tensor:
    """Parts that share no latent, as one code of the same rows."""
    sparse = [part for part in parts if isinstance(part, SparseCodes)]
    if len(sparse) < len(parts):
        return torch.stack([part.to_dense() if isinstance(part, SparseCodes) else part for part in parts]).sum(0)
    first = sparse[0]
    rows, order = torch.cat([part.rows() for part in sparse]).sort(stable=True)
    latents, values = (torch.cat(each)[order] for each in ([p.indices for p in sparse], [p.values for p in sparse]))
    made = SparseCodes.from_rows(rows, latents, values, n_rows=first.n_rows, n_latents=first.n_latents)
    return made.reshape_leading(*first.leading)


@dataclass(frozen=True, kw_only=True)
class Knobs:
    """What controllers and schedules of `training` set at each step. An architecture reads those it knows."""

    step: int = 0
    """Optimiser steps done; with the SAE's seed, what random choices of a step are drawn from."""
    progress: float = 0.0
    """Part of the run that is done, in [0, 1]; for what is annealed over a run."""
    sparsity: float = 1.0
    """Factor on the architecture's sparsity penalty; 1 is the configured strength."""
    k: int | None = None
    """Latents per row in place of the configured k (annealing); None for the configured one."""
    temperature: float = 1.0
    """Factor on the width of soft selections."""


DEFAULT_KNOBS = Knobs()


class Losses(NamedTuple):
    """Result of a training forward."""

    total: Tensor
    """What to differentiate: the sum of the parts."""
    parts: dict[str, Tensor]
    """Name -> 0-d tensor as it enters the total (its coefficient included). The same names at every step."""
    active: SparseCodes | None
    """The code behind the reconstruction, detached, in the normalised space; explicit zeros did not fire."""
    x_hat: Float[Tensor, "B D"]
    """Reconstruction in raw activations, with its graph (for objectives through a model)."""
    x: Float[Tensor, "B D"]
    """The raw rows that were to be reconstructed (masked ones left out); several output sites lie side by side, [B, L_out D]."""
    logs: Mapping[str, Tensor] = MappingProxyType({})
    """Numbers worth following besides the losses, detached and 0-d: `fvu/site_3`, `l0/high`. The same names at every step."""

    @property
    def n_rows(self) -> int:
        """Tokens that counted."""
        return self.x.shape[0]


def add_up(parts: dict[str, Tensor]) -> Tensor:
    """The total of the parts, in order."""
    values = list(parts.values())
    total = values[0]
    for value in values[1:]:
        total = total + value
    return total


def with_parts(losses: Losses, parts: Mapping[str, Tensor], logs: Mapping[str, Tensor] | None = None) -> Losses:
    """The losses with further parts in the total, their coefficients included, and further logs (detached here)."""
    every = {**losses.parts, **parts}
    more = {name: value.detach() for name, value in (logs or {}).items()}
    return losses._replace(total=add_up(every), parts=every, logs={**losses.logs, **more})
