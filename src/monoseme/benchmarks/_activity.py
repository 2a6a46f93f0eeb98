"""How many latents of ReLU and JumpReLU are on: the cost of their sparse steps follows it, and training moves it.

Letters: B vectors, D model width, F latents.
"""

from typing import NamedTuple

import torch

from monoseme.benchmarks._dense import DenseSAE
from monoseme.benchmarks._dense_losses import DenseJumpReLU
from monoseme.saes import SAE
from monoseme.saes.jumprelu import JumpReLU
from monoseme.tensors.shapes import Float, Tensor


class Activity(NamedTuple):
    """Means over vectors."""

    l0: float
    """Latents that are on."""
    in_window: float | None
    """Latents, on or not, within JumpReLU's window about the threshold, which have its gradient; None without a window."""


@torch.no_grad()
def pre_activations(sae: SAE, x: Float[Tensor, "B D"]) -> Float[Tensor, "B F"]:
    """Of one of ours with a plain encoder, in its own units."""
    return (sae.normalise(x).rows - sae.b_dec) @ sae.W_enc + sae.b_enc


@torch.no_grad()
def own_activity(sae: SAE, x: Float[Tensor, "B D"]) -> Activity | None:
    """Of one of ours; None where k says how many latents are on."""
    if sae.sparsity != "penalty":
        return None
    pre = pre_activations(sae, x)
    if not isinstance(sae, JumpReLU):
        return _activity(pre, torch.zeros(()), None)
    spread = float(sae.input_variance / sae.d_in) ** 0.5
    return _activity(pre, sae.threshold, sae.config.bandwidth * spread)


@torch.no_grad()
def dense_activity(dense: DenseSAE, x: Float[Tensor, "B D"]) -> Activity:
    """Of a dense ReLU or JumpReLU."""
    if isinstance(dense, DenseJumpReLU):
        return _activity(dense.pre(x), dense.log_threshold.exp(), dense.bandwidth * dense.unit)
    return _activity(dense.pre(x), torch.zeros(()), None)


def _activity(pre: Float[Tensor, "B F"], threshold: Tensor, width: float | None) -> Activity:
    l0 = int((pre > threshold).sum()) / len(pre)
    return Activity(l0, None if width is None else int(((pre - threshold).abs() < width / 2).sum()) / len(pre))
