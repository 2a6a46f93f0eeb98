"""Gradient pursuit: sparse codes of a vector in any dictionary, found at the time of use, one atom more at a time.

    g = (x - f W) W^T;  the atom outside the support with the largest positive g_j / |w_j| joins it;
    d = g on the support (0 where f is 0 and g is negative);  f <- relu(f + a d),  a = |d|^2 / |d W|^2  (exact line search)

Codes stay at or above zero as those of an SAE do. If cutting at zero would make the residual grow, the step ends where the first
latent reaches zero instead: so no step lets the residual grow. Atoms count as unit vectors while this runs, and their norms are
divided out at the end; the result is the same for atoms of any length.

Source: Blumensath & Davies 2008, "Gradient pursuits", section III; for SAEs as inference-time optimisation: Smith 2024,
"Inference-time optimisation of sparse autoencoders" (Alignment Forum, progress update of Google DeepMind), and
dictionary_learning's `grad_pursuit`.
Differs from the latter: it cuts at zero whatever that does to the residual, and an atom of the support may win a step again, so
that none joins.
Letters: B rows, D model width, F latents, K places in the support.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch.nn import functional

from monoseme.core.errors import ConfigError
from monoseme.tensors.shapes import Bool, Float, Int, Tensor
from monoseme.tensors.sparse import SparseCodes

_CHUNK_ELEMENTS = 2**22
"""Products with all atoms held at once: rows are independent."""


def pursue(
    x: Float[Tensor, "B D"],
    W_dec: Float[Tensor, "F D"],
    b_dec: Float[Tensor, " D"] | None = None,
    *,
    k: int,
    n_steps: int | None = None,
) -> SparseCodes:
    """At most k non-negative latents per row, so that codes W_dec + b_dec is near x; rows do not depend on each other.

    `n_steps` is k unless given; steps after the k-th only better the values. Differentiable in x, W_dec and b_dec given the
    choices (which takes memory for B K (D + K) numbers; without a gradient it does not).
    Raises ConfigError unless 1 <= k <= F and n_steps >= k.
    """
    n_steps = k if n_steps is None else n_steps
    if not 1 <= k <= W_dec.shape[0] or n_steps < k:
        raise ConfigError(f"k is {k} and n_steps {n_steps}; allowed are 1 <= k <= {W_dec.shape[0]} latents and n_steps >= k")
    centred = x if b_dec is None else x - b_dec
    norms = W_dec.norm(dim=1).clamp_min(torch.finfo(W_dec.dtype).tiny)
    atoms = W_dec / norms.unsqueeze(1)
    with torch.no_grad():
        pieces = centred.split(max(256, _CHUNK_ELEMENTS // atoms.shape[0]))
        supports = [_search(rows, atoms, k, n_steps) for rows in pieces]
    chosen = torch.cat([support.chosen for support in supports])
    weights = torch.cat([support.weights for support in supports])
    if torch.is_grad_enabled() and (centred.requires_grad or atoms.requires_grad):
        weights = _replay(centred, atoms, chosen, torch.cat([support.n_at_step for support in supports]))
    values = weights / norms[chosen]
    latents, order = chosen.sort(dim=1)
    return SparseCodes.from_topk(latents, values.gather(1, order), atoms.shape[0]).drop_zeros()


class _Support(NamedTuple):
    """What the search ended with."""

    chosen: Int[Tensor, "B K"]
    """Atoms in the order in which they joined; the first n of each row count."""
    weights: Float[Tensor, "B K"]
    n_at_step: Int[Tensor, "B steps"]
    """Atoms in the support at each step."""


def _search(x: Float[Tensor, "B D"], atoms: Float[Tensor, "F D"], k: int, n_steps: int) -> _Support:
    residual, weights = x, x.new_zeros(x.shape[0], k)
    chosen = torch.zeros(x.shape[0], k, dtype=torch.int64, device=x.device)
    n, every = torch.zeros_like(chosen[:, 0]), torch.arange(x.shape[0], device=x.device)
    counts: list[Tensor] = []

    def product(values: Tensor) -> Tensor:
        return functional.embedding_bag(chosen, atoms, mode="sum", per_sample_weights=values)

    for _ in range(n_steps):
        slopes = residual @ atoms.t()
        # free places name the first atom once more: there is nothing to leave out while there is none
        inside = torch.where(_first(n, k), chosen, chosen[:, :1])
        best = (slopes.scatter(1, inside, -math.inf) if counts else slopes).max(1)
        joins = (best.values > 0) & (n < k)
        chosen[every[joins], n[joins]] = best.indices[joins]
        n = n + joins
        counts.append(n)
        weights = _moved(weights, slopes.gather(1, chosen) * _first(n, k), lambda d: product(d).square().sum(1))
        residual = x - product(weights)
    return _Support(chosen, weights, torch.stack(counts, 1))


def _replay(
    x: Float[Tensor, "B D"], atoms: Float[Tensor, "F D"], chosen: Int[Tensor, "B K"], n_at_step: Int[Tensor, "B steps"]
) -> Float[Tensor, "B K"]:
    """The weights of the search once more, from the products of the chosen atoms alone, with a gradient."""
    support = atoms[chosen]
    gram = support @ support.transpose(1, 2)
    target = (support @ x.unsqueeze(2)).squeeze(2)
    weights = torch.zeros_like(target)
    for n in n_at_step.unbind(1):
        slopes = (target - (gram @ weights.unsqueeze(2)).squeeze(2)) * _first(n, chosen.shape[1])
        weights = _moved(weights, slopes, lambda d: (d * (gram @ d.unsqueeze(2)).squeeze(2)).sum(1))
    return weights


def _first(n: Int[Tensor, " B"], k: int) -> Bool[Tensor, "B K"]:
    """The first n of k places."""
    return torch.arange(k, device=n.device) < n.unsqueeze(1)


def _moved(
    weights: Float[Tensor, "B K"], slopes: Float[Tensor, "B K"], energy: Callable[[Tensor], Tensor]
) -> Float[Tensor, "B K"]:
    """One step along the slopes that keeps weights at or above zero and does not let the residual grow.

    `energy(d)` is |d W|^2 of each row. With weights moved by d, |residual|^2 changes by energy(d) - 2 <d, slopes>.
    """
    tiny = torch.finfo(weights.dtype).tiny
    d = torch.where((weights > 0) | (slopes > 0), slopes, 0.0)
    best = (d.square().sum(1) / energy(d).clamp_min(tiny)).unsqueeze(1)
    cut = (weights + best * d).relu()
    change = cut - weights
    grows = (energy(change) > 2 * (change * slopes).sum(1)).unsqueeze(1)
    falls = d < 0
    until_zero = torch.where(falls, weights / torch.where(falls, -d, 1.0), math.inf)
    reach = until_zero.amin(1, keepdim=True)
    short = torch.where(until_zero > reach, (weights + reach.clamp(max=best) * d).relu(), 0.0)
    return torch.where(grows & (reach < best), short, cut)  # without a cut at zero the exact step cannot grow, but for rounding
