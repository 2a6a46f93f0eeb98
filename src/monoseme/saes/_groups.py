"""Latents in groups, the first the coarsest: reconstructions from ever longer prefixes of a dictionary (Matryoshka).

    x_hat_i = b_dec + sum_{j <= i} f_j W_j        loss_i = w_i mean_b ||x - x_hat_i||^2 / V

Group j is a run of neighbouring latents. Each entry of a code is decoded once, into the sum of its own group; prefixes are
running sums over groups.

Source: Bussmann et al. 2025, arXiv:2503.17547, section 3.
Letters: B rows, D model width, F latents, G groups.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import accumulate, pairwise
from typing import Literal, NamedTuple

import torch

from monoseme.core.errors import ConfigError
from monoseme.saes._auxk import AuxK
from monoseme.saes._base import SAE
from monoseme.saes._codes import Codes, Losses, add_up
from monoseme.saes._mesh import n_here, sizes_here
from monoseme.saes._normalise import Normalised, denormalised
from monoseme.saes._prefix_errors import prefix_errors
from monoseme.saes._reconstruct import auxk_part
from monoseme.tensors.shapes import Float, Int, Tensor
from monoseme.tensors.sparse import SparseCodes, offsets_of

Average = Literal["mean", "sum"]


class Prefixes(NamedTuple):
    """How the losses of the prefixes make one."""

    sizes: tuple[int, ...]
    """Latents in each group (count); they add up to F."""
    weights: tuple[float, ...]
    """w_i."""
    average: Average
    """Of the weighted losses."""


def sizes_from(n_latents: int, *, sizes: Sequence[int] | None, fractions: Sequence[float]) -> tuple[int, ...]:
    """`sizes` where given; else int(fraction * F) latents for each group but the last, which takes the rest.

    Raises ConfigError for an empty group, or where sizes do not add up to F or fractions to 1.
    """
    if sizes is None:
        if not fractions or abs(sum(fractions) - 1) > 1e-6:
            raise ConfigError(f"group_fractions are {tuple(fractions)}; they must add up to 1, not {sum(fractions):g}")
        most = [int(fraction * n_latents) for fraction in fractions[:-1]]
        sizes = (*most, n_latents - sum(most))
    if min(sizes, default=0) < 1 or sum(sizes) != n_latents:
        raise ConfigError(f"groups of {tuple(sizes)} latents; each needs at least 1, and together n_latents = {n_latents}")
    return tuple(sizes)


def weights_from(n_groups: int, weights: Sequence[float] | None) -> tuple[float, ...]:
    """`weights`, or ones. Raises ConfigError unless there is one for each group, none is negative and some are positive."""
    if weights is None:
        return (1.0,) * n_groups
    if len(weights) != n_groups or min(weights) < 0 or not any(weights):
        raise ConfigError(f"group_weights are {tuple(weights)}; {n_groups} groups need {n_groups}, not negative and not all 0")
    return tuple(weights)


def group_names(n_groups: int) -> tuple[str, ...]:
    """group_0, group_1, ..."""
    return tuple(f"group_{i}" for i in range(n_groups))


def within(codes: SparseCodes, start: int, stop: int) -> SparseCodes:
    """The entries of latents start <= f < stop; still codes of all F latents."""
    keep = (codes.indices >= start) & (codes.indices < stop)
    rows, latents, values = codes.rows()[keep], codes.indices[keep], codes.values[keep]
    kept = SparseCodes.from_rows(rows, latents, values, n_rows=codes.n_rows, n_latents=codes.n_latents)
    return kept.reshape_leading(*codes.leading)


def first_alone(sae: SAE, codes: SparseCodes, size: int) -> SparseCodes:
    """The entries of the first `size` latents of the whole dictionary, as codes of those among them that are here alone."""
    size = n_here(size, sae.shard)
    return replace(within(codes, 0, size), n_latents=size)


def with_groups(sae: SAE, codes: Codes, groups: Mapping[str, int]) -> Codes:
    """The codes with a further part for each group; `groups` is name -> size, in the order of the latents.

    The codes are those of `sae`, with the latents that are here. No groups: as they are.
    """
    if not groups:
        return codes
    whole = codes.sparse()
    bounds = pairwise(accumulate(sizes_here([*groups.values()], sae.shard), initial=0))
    parts = {name: within(whole, start, stop) for name, (start, stop) in zip(groups, bounds, strict=True)}
    return Codes({**codes.parts, **parts}, codes.offset, codes.scale)


def added_by_groups(sae: SAE, codes: SparseCodes, sizes: Sequence[int]) -> Float[Tensor, "G B D"]:
    """What each group adds to the reconstruction: its entries decoded, each once."""
    if len(sizes) == 1:
        return sae.kernels.decode(codes, sae.W_dec).unsqueeze(0)
    added = sae.kernels.decode(_apart(codes, sizes_here(sizes, sae.shard)), sae.W_dec)
    return added.reshape(len(sizes), codes.n_rows, -1)


def _apart(codes: SparseCodes, sizes: Sequence[int]) -> SparseCodes:
    """The same entries as codes of G B rows, group by group.

    Entries of a row are ordered by latent, hence by group, so that each row is a run of neighbours for each group and runs are
    moved as they are: no sort.
    """
    n_rows, n_groups = codes.n_rows, len(sizes)
    runs = codes.rows() * n_groups + _group_of_entry(codes, sizes)
    sizes_of_runs = torch.bincount(runs, minlength=n_rows * n_groups)
    moved = sizes_of_runs.view(n_rows, n_groups).t().reshape(-1)
    offsets = offsets_of(moved)
    began = (sizes_of_runs.cumsum(0) - sizes_of_runs).view(n_rows, n_groups).t().reshape(-1)
    order = torch.repeat_interleave(began - offsets[:-1], moved, output_size=codes.nnz)
    order += torch.arange(codes.nnz, device=codes.device)
    indices, values = codes.indices.index_select(0, order), codes.values.index_select(0, order)
    return SparseCodes(indices, values, offsets, codes.n_latents, (len(moved),))


def _group_of_entry(codes: SparseCodes, sizes: Sequence[int]) -> Int[Tensor, " nnz"]:
    """Number of the group of each entry, int64."""
    of_latent = torch.repeat_interleave(torch.tensor(sizes, device=codes.device), output_size=codes.n_latents)
    return of_latent.index_select(0, codes.indices)


def prefix_losses(
    sae: SAE, raw: Float[Tensor, "B D"], rows: Normalised, codes: SparseCodes, *, prefixes: Prefixes, aux: AuxK
) -> Losses:
    """Losses of codes chosen for `rows`: `reconstruction`, the mean or sum over groups of loss_i, and `auxk` of the whole.

    Logs: `fvu/prefix_i` without weights; `loss/groups_min`, `_max` and `_mean` with them; `l0/group_i`; `l0/effective`, what is
    on after the ReLU of the selection. V is the variance of the sample given to start().
    """
    errors = prefix_errors(rows.rows, added_by_groups(sae, codes, prefixes.sizes), sae.b_dec)
    fvu = errors.squares / (codes.n_rows * sae.input_variance)
    weighted = fvu * fvu.new_tensor(prefixes.weights)
    active = codes.detach()
    parts = {
        "reconstruction": weighted.mean() if prefixes.average == "mean" else weighted.sum(),
        "auxk": auxk_part(sae, rows.rows, errors.last, active=active, aux=aux),
    }
    logs = _logs(fvu.detach(), weighted.detach(), _l0_of_groups(sae, active, prefixes.sizes))
    x_hat = denormalised(rows.rows - errors.last, rows, sae.input_factor)
    return Losses(add_up(parts), parts, active, x_hat, raw, logs)


def _l0_of_groups(sae: SAE, active: SparseCodes, sizes: Sequence[int]) -> Float[Tensor, " G"]:
    fired = (active.values != 0).to(active.values.dtype)
    of_latent = fired.new_zeros(active.n_latents).index_add_(0, active.indices, fired)
    latents = sae.shard
    here = torch.stack([part.sum() for part in of_latent.split(sizes_here(sizes, latents))])
    return latents.sum(here) / active.n_rows


def _logs(fvu: Float[Tensor, " G"], weighted: Float[Tensor, " G"], l0: Float[Tensor, " G"]) -> dict[str, Tensor]:
    logs = {f"fvu/prefix_{i}": value for i, value in enumerate(fvu)}
    logs |= {f"loss/groups_{name}": value for name, value in _extremes(weighted).items()}
    logs |= {f"l0/{name}": value for name, value in zip(group_names(len(l0)), l0, strict=True)}
    return {**logs, "l0/effective": l0.sum()}


def _extremes(weighted: Float[Tensor, " G"]) -> dict[str, Tensor]:
    return {"min": weighted.min(), "max": weighted.max(), "mean": weighted.mean()}
