"""What each attention head adds, after W_O.

Letters: n sequences, S positions, H heads, E width of a head, D model width.
"""

import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D


def mixed_heads(w_o: nn.Module, z: Tensor, n_heads: int) -> Tensor:
    """[n, S, H*D] from the input [n, S, H*E] of W_O: each head's share of its output, without the bias."""
    by_head = z.unflatten(-1, (n_heads, -1))
    weight = _weight(w_o)
    if weight is None:
        return _one_by_one(w_o, by_head)
    return torch.einsum("...he,hed->...hd", by_head, weight.unflatten(0, (n_heads, -1))).flatten(-2)


def _weight(w_o: nn.Module) -> Tensor | None:
    """W_O as [H*E, D], or None where the weight is not a plain matrix (quantised)."""
    # Exact types: bitsandbytes' linear layers extend nn.Linear and hold packed integers.
    if type(w_o) is nn.Linear:
        return w_o.weight.T
    if type(w_o) is Conv1D:
        return w_o.weight
    return None


def _one_by_one(w_o: nn.Module, by_head: Tensor) -> Tensor:
    """The same by H calls of the layer, each with all heads but one at zero. `forward` is called, so that no hook runs."""
    nothing = w_o.forward(torch.zeros_like(by_head).flatten(-2))
    shares: list[Tensor] = []
    for head in range(by_head.shape[-2]):
        alone = torch.zeros_like(by_head)
        alone[..., head, :] = by_head[..., head, :]
        shares.append(w_o.forward(alone.flatten(-2)) - nothing)
    return torch.cat(shares, dim=-1)
