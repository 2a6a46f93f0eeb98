"""TFA written down a second time: one position, one head and one key at a time, in float64, from the formulas alone.

Letters: n contexts, S positions, D model width, F latents.
Source: arXiv:2511.01836. Everything is in the space that the SAE sees; weights carry the names of `monoseme.saes.tfa`.
"""

import math
from collections.abc import Mapping
from typing import Literal, NamedTuple

import torch
from torch import Tensor

Novel = Literal["relu", "topk", "batchtopk", "nullify"]
_EPS = 1e-6


class Twin(NamedTuple):
    """What TFA makes of contexts."""

    predicted: Tensor
    novel: Tensor
    predicted_recons: Tensor
    novel_recons: Tensor
    x_hat: Tensor
    maps: Tensor
    """[n, layers, heads, S, S]."""


class Settings(NamedTuple):
    """What is not in the weights."""

    n_heads: int
    n_layers: int
    novel: Novel
    scale: float
    k: int = 0
    threshold: float | None = None
    """Of batchtopk in use; None for training."""


def tfa_twin(weights: Mapping[str, Tensor], x: Tensor, settings: Settings) -> Twin:
    """Each context by itself, then the novel code of all of them."""
    w = {name: tensor.double() for name, tensor in weights.items()}
    encoder = w.get("W_enc", w["W_dec"].T)
    contexts = [_context(w, encoder, context.double(), settings) for context in x]
    predicted, recons, residual, maps = (torch.stack(parts) for parts in zip(*contexts, strict=True))
    novel = _novel((settings.scale * residual @ encoder).clamp(min=0), settings)
    novel_recons = novel @ w["W_dec"]
    return Twin(predicted, novel, recons, novel_recons, recons + novel_recons + w["b_dec"], maps)


def _context(w: Mapping[str, Tensor], encoder: Tensor, x: Tensor, settings: Settings) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    n, n_latents = x.shape[0], w["W_dec"].shape[0]
    residual = [row - w["b_dec"] for row in x]
    predicted = [torch.zeros(n_latents, dtype=torch.float64) for _ in range(n)]
    recons = [torch.zeros_like(x[0]) for _ in range(n)]
    maps: list[Tensor] = []
    for layer in range(settings.n_layers):
        codes = [(settings.scale * r @ encoder).clamp(min=0) for r in residual]
        earlier = [torch.zeros(n_latents, dtype=torch.float64), *codes[:-1]]
        mixed, weights = _attend(w, f"attention.{layer}", codes, earlier, settings.n_heads)
        maps.append(weights)
        for t in range(n):
            drive = mixed[t] @ w[f"attention.{layer}.out.weight"].T + w[f"attention.{layer}.out.bias"]
            direction = drive.clamp(min=0)
            point = direction @ w["W_dec"]
            share = (point @ residual[t]) / (point.norm() + _EPS) ** 2
            predicted[t] = predicted[t] + share * direction
            recons[t] = recons[t] + share * point
            residual[t] = residual[t] - share * point
    return torch.stack(predicted), torch.stack(recons), torch.stack(residual), torch.stack(maps)


def _attend(
    w: Mapping[str, Tensor], layer: str, codes: list[Tensor], earlier: list[Tensor], n_heads: int
) -> tuple[list[Tensor], Tensor]:
    def project(name: str, rows: list[Tensor]) -> list[tuple[Tensor, ...]]:
        bias = w.get(f"{layer}.{name}.bias", torch.zeros(1, dtype=torch.float64))
        return [(w[f"{layer}.{name}.weight"] @ row + bias).chunk(n_heads) for row in rows]

    queries, keys, values = project("queries", codes), project("keys", earlier), project("values", earlier)
    maps = torch.zeros(n_heads, len(codes), len(codes), dtype=torch.float64)
    mixed: list[Tensor] = []
    for t, query in enumerate(queries):
        heads: list[Tensor] = []
        for head in range(n_heads):
            scores = torch.stack([query[head] @ keys[s][head] for s in range(t + 1)]) / math.sqrt(len(query[head]))
            maps[head, t, : t + 1] = scores.softmax(0)
            heads.append(sum((maps[head, t, s] * values[s][head] for s in range(t + 1)), torch.zeros(1, dtype=torch.float64)))
        mixed.append(torch.cat(heads))
    return mixed, maps


def _novel(z: Tensor, settings: Settings) -> Tensor:
    if settings.novel == "nullify":
        return torch.zeros_like(z)
    if settings.novel == "relu":
        return z
    if settings.novel == "batchtopk" and settings.threshold is not None:
        return z * (z > settings.threshold)
    rows = z.reshape(1, -1) if settings.novel == "batchtopk" else z.reshape(-1, z.shape[-1])
    k = settings.k * (z.numel() // z.shape[-1]) if settings.novel == "batchtopk" else settings.k
    kept = rows.topk(k, dim=1)
    return torch.zeros_like(rows).scatter(1, kept.indices, kept.values).reshape(z.shape)
