"""Ready-made changes of codes for `splice(change=...)`: clamp, scale or ablate some latents.

Letters: B rows, F latents, m of them.
"""

from collections.abc import Iterable, Mapping

import torch

from monoseme.core.errors import ConfigError
from monoseme.models.edit import EditContext
from monoseme.saes import Codes
from monoseme.splice._splice import Change
from monoseme.splice._watch import latent_columns
from monoseme.tensors.shapes import Float, Int, Tensor
from monoseme.tensors.sparse import SparseCodes


def clamp_latents(values: Mapping[int, float]) -> Change:
    """Sets each latent in `values` to its value in every row, whether it fires or not."""

    def change(codes: Codes, _context: EditContext) -> Codes:
        code = codes.all
        latents = torch.tensor(list(values), dtype=torch.int64)
        rows = code.n_rows if isinstance(code, SparseCodes) else code[..., 0].numel()
        return codes.with_all(with_latents(code, latents, torch.tensor(list(values.values())).expand(rows, -1)))

    return change


def scale_latents(factors: Mapping[int, float]) -> Change:
    """Multiplies each latent in `factors` where it fires."""

    def change(codes: Codes, _context: EditContext) -> Codes:
        code = codes.all
        _check(factors, code)
        if not isinstance(code, SparseCodes):
            return codes.with_all(code * _per_latent(code, factors))
        return codes.with_all(
            code.with_values(code.values * _per_latent(code.values, factors, code.n_latents)[code.indices.long()])
        )

    return change


def ablate_latents(latents: Iterable[int]) -> Change:
    """Sets the latents to zero."""
    return scale_latents(dict.fromkeys(latents, 0.0))


def latent_values(code: SparseCodes | Tensor, latents: Int[Tensor, " m"]) -> Float[Tensor, "B m"]:
    """What some latents, each named once, are in each row. Raises ConfigError for one that is not there."""
    latents = _at(code, latents)
    if not isinstance(code, SparseCodes):
        return code.reshape(-1, code.shape[-1])[:, latents]
    return latent_columns(code, latents.tolist())


def with_latents(code: SparseCodes | Tensor, latents: Int[Tensor, " m"], values: Float[Tensor, "B m"]) -> SparseCodes | Tensor:
    """The code with other values of some latents, each named once. Raises ConfigError for one that is not there."""
    latents = _at(code, latents)
    if not isinstance(code, SparseCodes):
        return code.index_copy(-1, latents, values.to(code).reshape(*code.shape[:-1], -1))
    values = values.to(code.values)
    keep = torch.isin(code.indices.long(), latents, invert=True)
    every_row = torch.arange(code.n_rows, device=code.device)
    rows = torch.cat([code.rows()[keep], every_row.repeat_interleave(len(latents))])
    indices = torch.cat([code.indices[keep].long(), latents.repeat(code.n_rows)])
    numbers = torch.cat([code.values[keep], values.reshape(-1)])
    order = rows.argsort(stable=True)
    made = SparseCodes.from_rows(rows[order], indices[order], numbers[order], n_rows=code.n_rows, n_latents=code.n_latents)
    return made.reshape_leading(*code.leading)


def _check(latents: Iterable[int], code: SparseCodes | Tensor) -> None:
    n_latents = code.n_latents if isinstance(code, SparseCodes) else code.shape[-1]
    for latent in latents:
        if not 0 <= latent < n_latents:
            raise ConfigError(f"there is no latent {latent}: this code has {n_latents:,}, counted from 0")


def _per_latent(like: Tensor, factors: Mapping[int, float], n_latents: int | None = None) -> Tensor:
    """[F]: the factor of each latent, 1 for those not named."""
    all_factors = like.new_ones(like.shape[-1] if n_latents is None else n_latents)
    all_factors[list(factors)] = like.new_tensor(list(factors.values()))
    return all_factors


def _at(code: SparseCodes | Tensor, latents: Int[Tensor, " m"]) -> Int[Tensor, " m"]:
    """The latents where the code is. Raises ConfigError for one that is not there."""
    _check(latents.tolist(), code)
    return latents.to(code.device)
