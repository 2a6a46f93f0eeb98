"""Direct logit attribution: what a latent's decoder row writes into the logits of each token.

logits [F, V] = (W_dec * gamma) @ W_U, with the final norm's per-channel scale gamma; for a LayerNorm the row is centred first.
The norm's division by the residual's size is left out: it differs per token and scales all logits of a token alike, so values
compare within a latent and between latents, not with the model's logits.

Differs from SAEDashboard and sae_vis, which leave out gamma; where it varies over channels their order of tokens is another.
Letters: F latents, D model width, V vocabulary, T tokens kept at each end.
"""

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from monoseme.models.site import WRITES_RESIDUAL, Site

_MOST_BYTES = 64 * 2**20


class LatentLogits(NamedTuple):
    """Tokens a latent raises most and lowers most, strongest first; arrays [F, T]."""

    top_tokens: NDArray[np.int32]
    top_logits: NDArray[np.float32]
    bottom_tokens: NDArray[np.int32]
    bottom_logits: NDArray[np.float32]


class Unembedding(NamedTuple):
    """The last step of a model, as direct logit attribution uses it."""

    weight: Tensor
    """W_U [D, V]"""
    scale: Tensor
    """gamma [D] of the final norm"""
    is_centred: bool
    """Does the final norm subtract the mean over D (LayerNorm)."""


def why_no_logits(site: Site) -> str | None:
    """Why direct logit attribution has no meaning at a site; None where it has one."""
    if site.kind in WRITES_RESIDUAL:
        return None
    return f"{site} does not write to the residual stream, so its decoder rows have no direct effect on the logits"


@torch.no_grad()
def direct_logits(w_dec_FD: Tensor, unembedding: Unembedding, *, n_tokens: int) -> LatentLogits:
    """The `n_tokens` most raised and most lowered tokens of each latent, in float32, a slice of latents at a time."""
    weight = unembedding.weight.detach().float()
    scale = unembedding.scale.detach().float()
    n_kept = min(n_tokens, weight.shape[1])
    step = max(1, _MOST_BYTES // (4 * weight.shape[1]))
    found: list[tuple[Tensor, ...]] = []
    for rows in w_dec_FD.detach().to(weight.device).float().split(step):
        centred = rows - rows.mean(dim=1, keepdim=True) if unembedding.is_centred else rows
        logits = (centred * scale) @ weight
        top, bottom = logits.topk(n_kept, dim=1), logits.topk(n_kept, dim=1, largest=False)
        found.append((top.indices, top.values, bottom.indices, bottom.values))
    columns = [torch.cat(column).cpu().numpy() for column in zip(*found, strict=True)]
    return LatentLogits(columns[0].astype(np.int32), columns[1], columns[2].astype(np.int32), columns[3])
