"""Ready-made changes of codes for `splice(change=...)`: clamp, scale or ablate some latents.

Letters: B rows, F latents.
"""

from collections.abc import Iterable, Mapping

import torch

from monoseme.core.errors import ConfigError
from monoseme.models.edit import EditContext
from monoseme.saes import Codes
from monoseme.splice._splice import Change
from monoseme.tensors.shapes import Tensor
from monoseme.tensors.sparse import SparseCodes


def clamp_latents(values: Mapping[int, float]) -> Change:
    """Sets each latent in `values` to its value in every row, whether it fires or not."""

    def change(codes: Codes, _context: EditContext) -> Codes:
        code = codes.all
        _check(values, code)
        return codes.with_all(_clamped_sparse(code, values) if isinstance(code, SparseCodes) else _clamped_dense(code, values))

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


def _clamped_dense(code: Tensor, values: Mapping[int, float]) -> Tensor:
    columns = torch.tensor(list(values), dtype=torch.int64, device=code.device)
    return code.index_copy(-1, columns, code.new_tensor(list(values.values())).expand(*code.shape[:-1], -1))


def _clamped_sparse(code: SparseCodes, values: Mapping[int, float]) -> SparseCodes:
    """The entries of other latents, and one entry per row for each clamped one."""
    clamped = torch.tensor(list(values), dtype=torch.int32, device=code.device)
    keep = torch.isin(code.indices, clamped, invert=True)
    every_row = torch.arange(code.n_rows, device=code.device)
    rows = torch.cat([code.rows()[keep], every_row.repeat_interleave(len(values))])
    indices = torch.cat([code.indices[keep], clamped.repeat(code.n_rows)])
    numbers = torch.cat([code.values[keep], code.values.new_tensor(list(values.values())).repeat(code.n_rows)])
    order = rows.argsort(stable=True)
    made = SparseCodes.from_rows(rows[order], indices[order], numbers[order], n_rows=code.n_rows, n_latents=code.n_latents)
    return made.reshape_leading(*code.leading)
