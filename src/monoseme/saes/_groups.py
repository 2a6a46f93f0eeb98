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
from monoseme.saes._normalise import Normalised, denormalised
from monoseme.saes._reconstruct import auxk_part
from monoseme.tensors.shapes import Float, Tensor
from monoseme.tensors.sparse import SparseCodes

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


def first_alone(codes: SparseCodes, size: int) -> SparseCodes:
    """The entries of the first `size` latents, as codes of these latents alone."""
    return replace(within(codes, 0, size), n_latents=size)


def with_groups(codes: Codes, groups: Mapping[str, int]) -> Codes:
    """The codes with a further part for each group; `groups` is name -> size, in the order of the latents. None: as they are."""
    if not groups:
        return codes
    whole = codes.sparse()
    bounds = pairwise(accumulate(groups.values(), initial=0))
    parts = {name: within(whole, start, stop) for name, (start, stop) in zip(groups, bounds, strict=True)}
    return Codes({**codes.parts, **parts}, codes.offset, codes.scale)


def prefix_reconstructions(sae: SAE, codes: SparseCodes, sizes: Sequence[int]) -> Float[Tensor, "G B D"]:
    """x_hat_i of each prefix in the normalised space, differentiable."""
    ends = torch.tensor([*accumulate(sizes)], device=codes.device)
    group = torch.bucketize(codes.indices.long(), ends, right=True)
    rows, order = (group * codes.n_rows + codes.rows()).sort(stable=True)
    n_rows = len(sizes) * codes.n_rows
    apart = SparseCodes.from_rows(rows, codes.indices[order], codes.values[order], n_rows=n_rows, n_latents=codes.n_latents)
    added = sae.kernels.decode(apart, sae.W_dec)
    return added.reshape(len(sizes), codes.n_rows, -1).cumsum(0) + sae.b_dec


def prefix_losses(
    sae: SAE, raw: Float[Tensor, "B D"], rows: Normalised, codes: SparseCodes, *, prefixes: Prefixes, aux: AuxK, step: int
) -> Losses:
    """Losses of codes chosen for `rows`: `reconstruction`, the mean or sum over groups of loss_i, and `auxk` of the whole.

    Logs: `fvu/prefix_i` without weights; `loss/groups_min`, `_max` and `_mean` with them; `l0/group_i`; `l0/effective`, what is
    on after the ReLU of the selection. V is the variance of the sample given to start().
    """
    x_hats = prefix_reconstructions(sae, codes, prefixes.sizes)
    fvu = (rows.rows - x_hats).square().sum(2).mean(1) / sae.input_variance
    weighted = fvu * fvu.new_tensor(prefixes.weights)
    active = codes.detach()
    parts = {
        "reconstruction": weighted.mean() if prefixes.average == "mean" else weighted.sum(),
        "auxk": auxk_part(sae, rows.rows, rows.rows - x_hats[-1], active=active, aux=aux, step=step),
    }
    logs = _logs(fvu.detach(), weighted.detach(), _l0_of_groups(active, prefixes.sizes))
    return Losses(add_up(parts), parts, active, denormalised(x_hats[-1], rows, sae.input_factor), raw, logs)


def _l0_of_groups(active: SparseCodes, sizes: Sequence[int]) -> Float[Tensor, " G"]:
    ends = torch.tensor([*accumulate(sizes)], device=active.device)
    group = torch.bucketize(active.indices[active.values != 0].long(), ends, right=True)
    return torch.bincount(group, minlength=len(sizes)).to(active.values.dtype) / active.n_rows


def _logs(fvu: Float[Tensor, " G"], weighted: Float[Tensor, " G"], l0: Float[Tensor, " G"]) -> dict[str, Tensor]:
    logs = {f"fvu/prefix_{i}": value for i, value in enumerate(fvu)}
    logs |= {f"loss/groups_{name}": value for name, value in _extremes(weighted).items()}
    logs |= {f"l0/{name}": value for name, value in zip(group_names(len(l0)), l0, strict=True)}
    return {**logs, "l0/effective": l0.sum()}


def _extremes(weighted: Float[Tensor, " G"]) -> dict[str, Tensor]:
    return {"min": weighted.min(), "max": weighted.max(), "mean": weighted.mean()}
