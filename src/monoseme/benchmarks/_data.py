"""Activations that look like a model's, made up: sparse features of power-law rate over a decaying low-rank part, a mean, noise.

    x = sum_i f_i d_i + 3 sum_j n_j u_j / sqrt(1 + j) + mean + 0.05 noise,    scaled to a mean square of D

4 D directions d_i, of which 24 fire on average, more often the lower their number (as (1 + i)^-0.6), each with a size of 1 and an
exponential tail; D / 8 directions u_j. Two SAEs are compared on the same rows.
Letters: N rows, D model width, B vectors of a step, L sites.
"""

from typing import Literal

import torch
from torch.nn import functional

from monoseme.core.seeds import generator
from monoseme.tensors.shapes import Float, Tensor

View = Literal["tokens", "pairs", "layers"]
N_SITES = 4
"""Sites of the view layers."""
_CHUNK = 2048
_FIRING, _EXPONENT, _MOST = 24.0, 0.6, 0.5
_TAIL, _LOW_RANK, _MEAN, _NOISE = 0.7, 3.0, 0.3, 0.05


def synthetic_activations(n_rows: int, d_in: int, *, seed: int = 0) -> Float[Tensor, "N D"]:
    """Rows of the module's docstring, float32. The same seed gives the same rows."""
    random = generator(seed, "bench", "data", d_in)
    features = functional.normalize(torch.randn(4 * d_in, d_in, generator=random), dim=1)
    rates = torch.arange(1, 4 * d_in + 1).pow(-_EXPONENT)
    rates = (rates / rates.sum() * _FIRING).clamp(max=_MOST)
    rank = max(1, d_in // 8)
    sizes = _LOW_RANK / torch.arange(1, rank + 1).sqrt().unsqueeze(1)
    low_rank = sizes * torch.randn(rank, d_in, generator=random) / d_in**0.5
    x = _MEAN * torch.randn(d_in, generator=random).repeat(n_rows, 1)
    for part in x.split(_CHUNK):
        n = part.shape[0]
        fires = torch.rand(n, 4 * d_in, generator=random) < rates
        tail = torch.empty(n, 4 * d_in).exponential_(generator=random)
        part += (fires * (1 + _TAIL * tail)) @ features
        part += torch.randn(n, rank, generator=random) @ low_rank + _NOISE * torch.randn(n, d_in, generator=random)
    return x * (d_in / x.square().sum(1).mean()).sqrt()


def in_view(x: Float[Tensor, "B D"], view: View) -> Tensor:
    """The B vectors of a step as items of the view: [B, D], [B / 2, 2, D] or [B / 4, 4, D]; a remainder is left out."""
    if view == "tokens":
        return x
    n_slots = 2 if view == "pairs" else N_SITES
    n_items = x.shape[0] // n_slots
    return x[: n_items * n_slots].reshape(n_items, n_slots, x.shape[1])
