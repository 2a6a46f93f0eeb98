"""Causal attention between the codes of a context: what earlier codes say about the present one.

At position t, queries come from the code z_t, keys and values from the codes before it: slot s holds z_(s-1), slot 0 zeros, and t
sees slots 0 to t. Keys have no bias: it would add the same number to all scores of a query, which the softmax takes out again.
Letters: n contexts, S positions, T positions before them, F latents, H heads.
Source: arXiv:2511.01836 (TFA), section on the predictive part; attention as in Vaswani et al. 2017.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple, cast

import torch
from torch import nn
from torch.nn import functional
from torch.nn.utils import skip_init

from monoseme.tensors.shapes import Bool, Float, Tensor


@dataclass(eq=False)
class LayerHistory:
    """What one layer remembers of a sequence; None before its first position."""

    last_code: Tensor | None = None
    """[n, F], the code of the last position seen."""
    keys: Tensor | None = None
    """[n, H, T, d]."""
    values: Tensor | None = None
    """[n, H, T, d]."""


class Attended(NamedTuple):
    """What attention makes of the codes of some positions."""

    direction: Float[Tensor, "n S F"]
    """Not negative."""
    maps: Tensor | None
    """[n, H, S, T + S], rows sum to one; where asked for."""


class CodeAttention(nn.Module):
    """direction = relu(out(attention(queries(z), keys(z shifted), values(z shifted))))."""

    def __init__(self, n_latents: int, *, n_heads: int, bottleneck: int, stream: torch.Generator) -> None:
        """Queries and keys are F / bottleneck wide. Weights as `_fill` says, drawn from `stream`."""
        super().__init__()
        self.n_heads = n_heads
        narrow = n_latents // bottleneck
        self.queries = _linear(n_latents, narrow, norm=math.sqrt(n_heads / narrow), stream=stream)
        self.keys = _linear(n_latents, narrow, norm=math.sqrt(n_heads / narrow), stream=stream, bias=False)
        self.values = _linear(n_latents, n_latents, norm=math.sqrt(n_heads / n_latents), stream=stream)
        self.out = _linear(n_latents, n_latents, norm=math.sqrt(1 / n_latents), stream=stream)

    def forward(self, code: Float[Tensor, "n S F"], history: LayerHistory | None = None, *, with_maps: bool = False) -> Attended:
        """A direction for each position. A history is read, then extended by these positions."""
        earlier = _shifted(code, history)
        query, key, value = (self._heads(rows) for rows in (self.queries(code), self.keys(earlier), self.values(earlier)))
        if history is not None:
            key = key if history.keys is None else torch.cat([history.keys, key], 2)
            value = value if history.values is None else torch.cat([history.values, value], 2)
            history.last_code, history.keys, history.values = code[:, -1], key, value
        maps = _maps(query, key) if with_maps else None
        mixed = _mix(query, key, value) if maps is None else maps @ value
        return Attended(self.out(mixed.transpose(1, 2).flatten(2)).relu(), maps)

    def _heads(self, rows: Float[Tensor, "n S width"]) -> Float[Tensor, "n H S d"]:
        return rows.unflatten(2, (self.n_heads, rows.shape[2] // self.n_heads)).transpose(1, 2)


def _shifted(code: Float[Tensor, "n S F"], history: LayerHistory | None) -> Float[Tensor, "n S F"]:
    """The code before each: of the history's last position, or zeros, for the first."""
    first = None if history is None else history.last_code
    first = torch.zeros_like(code[:, 0]) if first is None else first
    return torch.cat([first.unsqueeze(1), code[:, :-1]], 1)


def _visible(query: Tensor, key: Tensor) -> Bool[Tensor, "S slots"]:
    """Slots up to the own one; the queries are the last positions of the keys'."""
    n_queries, n_slots = query.shape[2], key.shape[2]
    every = torch.ones(n_queries, n_slots, dtype=torch.bool, device=query.device)
    return every.tril(n_slots - n_queries)


def _mix(query: Tensor, key: Tensor, value: Tensor) -> Float[Tensor, "n H S d"]:
    if query.shape[2] == key.shape[2]:
        return functional.scaled_dot_product_attention(query, key, value, is_causal=True)
    return functional.scaled_dot_product_attention(query, key, value, attn_mask=_visible(query, key))


def _maps(query: Tensor, key: Tensor) -> Float[Tensor, "n H S slots"]:
    scores = query @ key.transpose(2, 3) / math.sqrt(query.shape[3])
    return scores.masked_fill(~_visible(query, key), -math.inf).softmax(3)


def _linear(n_in: int, n_out: int, *, norm: float, stream: torch.Generator, bias: bool = True) -> nn.Linear:
    """A linear map whose rows are random directions of length `norm`; biases are uniform within 1 / sqrt(n_in)."""
    linear = cast(nn.Linear, skip_init(nn.Linear, n_in, n_out, bias=bias))
    with torch.no_grad():
        linear.weight.copy_(norm * functional.normalize(torch.randn(n_out, n_in, generator=stream), dim=1))
        if bias:
            linear.bias.copy_((2 * torch.rand(n_out, generator=stream) - 1) / math.sqrt(n_in))
    return linear
