"""What the baselines share: a dictionary that is not trained, and no more latents than the activations have dimensions."""

import torch
from torch import nn

from monoseme.saes._base import SAE
from monoseme.tensors.shapes import Float, Tensor

MOVES_NOTHING: dict[str, frozenset[str]] = {"reconstruction": frozenset()}
"""The loss of a baseline is a number without a gradient."""


def cap_latents(config: SAE.Config) -> None:
    """Sets the `n_latents` of a config that is being made to the width D, once that is known, where it is larger."""
    if config.d_in is not None and config.n_latents > config.d_in:
        object.__setattr__(config, "n_latents", config.d_in)  # the way to fill in a frozen config


def fixed_dictionary(sae: SAE, rows: Float[Tensor, "F D"]) -> None:
    """Gives `sae` W_dec = rows, W_enc = rows^T and zero biases, all of them frozen parameters."""
    sae.W_dec = _frozen(rows)
    sae.W_enc = _frozen(rows.clone().t())
    sae.b_enc = _frozen(torch.zeros(rows.shape[0]))
    sae.b_dec = _frozen(torch.zeros(rows.shape[1]))


def _frozen(tensor: Tensor) -> nn.Parameter:
    return nn.Parameter(tensor, requires_grad=False)
