"""The running threshold with which a batch-wise selection is used on single tokens.

In training a batch's budget picks a cut; in use there is no batch, so what is kept is what lies above the average cut of late
training. Shared by architectures that select over a batch: two buffers, moved after each step, one exported threshold a latent.

Source: Bussmann et al. 2024, arXiv:2412.06410, section 3 (the cut is the smallest positive activation that was kept).
Differs from the paper: an exponential average that starts at the first cut, in place of the mean over training.
"""

from collections.abc import Iterable

import torch

from monoseme.core.errors import ConfigError
from monoseme.saes._base import SAE
from monoseme.saes._codes import Losses
from monoseme.tensors.processes import Mesh
from monoseme.tensors.shapes import Float, Int, Tensor


def check_decay(threshold_decay: float) -> None:
    """Raises ConfigError unless the weight of the past is in [0, 1)."""
    if not 0 <= threshold_decay < 1:
        raise ConfigError(f"threshold_decay is {threshold_decay}; it must be at least 0 and below 1")


def add_threshold(sae: SAE) -> None:
    """Gives the SAE its buffers `threshold` (0, a plain ReLU, until the first step) and `threshold_updates` (steps seen)."""
    sae.register_buffer("threshold", torch.zeros(()))
    sae.register_buffer("threshold_updates", torch.zeros((), dtype=torch.int64))


@torch.no_grad()
def move_threshold(
    threshold: Float[Tensor, ""],
    n_updates: Int[Tensor, ""],
    kept: Float[Tensor, " nnz"],
    *,
    decay: float,
    mesh: Mesh = Mesh(),  # noqa: B008  it cannot be changed
) -> None:
    """Moves both buffers in place towards the smallest positive of the values that a batch kept; no positive one, no move.

        threshold <- decay * threshold + (1 - decay) * min(kept > 0);    the first cut is taken as it is

    Pass what was selected, never all activations: their minimum is near zero and would let everything through. Signed codes pass
    absolute values. The batch is that of all processes of the mesh.
    """
    positive = kept[kept > 0]
    cut = positive.min() if positive.numel() else kept.new_full((), torch.inf)
    cut = -mesh.latents.max(mesh.rows.max(-cut))
    if not bool(cut < torch.inf):
        return
    decay = decay if int(n_updates) else 0.0
    threshold.copy_(decay * threshold + (1 - decay) * cut)
    n_updates += 1


def follow_cuts(sae: SAE, losses: Iterable[Losses]) -> None:
    """After a step: moves the threshold by what each batch kept, with the `threshold_decay` of the SAE's config."""
    threshold, n_updates = sae.get_buffer("threshold"), sae.get_buffer("threshold_updates")
    for batch in losses:
        if batch.active is not None:
            kept = batch.active.values.abs()
            move_threshold(threshold, n_updates, kept, decay=sae.config.threshold_decay, mesh=sae.mesh)
