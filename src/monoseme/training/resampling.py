"""Resampling: dead latents begin anew in the directions of inputs that the SAE reconstructs badly.

For each dead latent an input is drawn from the current batch, without repetition, with probability proportional to the square of
its loss ||x - x_hat||^2. The latent's decoder row becomes the input's direction, its encoder column the same direction with a
fifth of the mean norm of the alive ones, its bias 0; Adam's moments of these entries begin anew, and so does its count of tokens
without firing.

Source: Bricken et al. 2023, "Towards Monosemanticity", appendix "Neuron Resampling".
Differs from the source: inputs come from one batch, not from 819,200 inputs, so at most a batch of latents is resampled at a
time; the direction is that of x - b_dec, which is what the encoder sees and the decoder adds to.
Letters: B rows, D model width, F latents, m resampled latents.
"""

import torch
from torch import Tensor

from monoseme.core.errors import ConfigError
from monoseme.core.seeds import generator
from monoseme.saes import SAE, Losses
from monoseme.training.ema import WeightMean
from monoseme.training.optimiser import Optimiser

_ENCODER_NORM = 0.2
_LATENT_AXES = {"W_enc": 1, "b_enc": 0, "W_dec": 0}


def require_resampling(sae: SAE, *, n_sites: int) -> None:
    """Raises ConfigError for an SAE whose latents are not each a column of W_enc, an entry of b_enc and a row of W_dec."""
    shapes = {name: tuple(tensor.shape) for name, tensor in sae.named_parameters()}
    d, f = sae.d_in, sae.n_latents
    wanted = {"W_enc": (d, f), "b_enc": (f,), "W_dec": (f, d)}
    roles = sae.roles(n_sites)
    if sae.shard.size > 1:
        raise ConfigError(
            f"{sae.plugin_name} cannot be resampled while processes divide its latents.\n"
            "  Leave out --train.resample, or take --train.latent_shards 1."
        )
    if any(shapes.get(name) != shape for name, shape in wanted.items()) or roles.inputs != roles.outputs:
        raise ConfigError(
            f"{sae.plugin_name} cannot be resampled: it takes W_enc [D, F], b_enc [F] and W_dec [F, D], and inputs that are "
            "what is reconstructed.\n  Leave out --train.resample, or revive its dead latents by its own auxiliary loss."
        )


@torch.no_grad()
def resample(sae: SAE, optimiser: Optimiser, losses: Losses, *, step: int, mean: WeightMean | None = None) -> int:
    """Resamples the dead latents of `sae` after the 0-based `step`, whose losses are given; returns how many.

    A pure function of the SAE, the batch, its seed and the step.
    """
    dead = sae.dead_mask().nonzero().squeeze(1)
    chances = _chances(losses, sae.d_in)
    n = min(len(dead), int((chances > 0).sum()))
    if n == 0:
        return 0
    drawn = torch.multinomial(chances, n, generator=generator(sae.config.seed, "resample", step))
    x = losses.x.reshape(-1, sae.d_in)[drawn.to(losses.x.device)]
    latents = dead[:n]
    _write(sae, latents, directions=_directions(sae, x), alive=~sae.dead_mask())
    for name, axis in _LATENT_AXES.items():
        optimiser.forget(name, latents, axis=axis)
        if mean is not None:
            mean.copy_latents(name, sae.get_parameter(name), latents, axis=axis)
    sae.tokens_since_fired[latents] = 0
    return n


def _chances(losses: Losses, width: int) -> Tensor:
    """[B] on the CPU, float64: squared loss of each input; several sites of a token are inputs of their own."""
    error = (losses.x - losses.x_hat.detach()).reshape(-1, width).double().square().sum(1)
    return error.square().cpu()


def _directions(sae: SAE, x: Tensor) -> Tensor:
    """[m, D] unit rows in the normalised space."""
    rows = sae.normalise(x.to(sae.W_dec.dtype)).rows - sae.b_dec
    return rows / rows.norm(dim=1, keepdim=True).clamp_min(torch.finfo(rows.dtype).tiny)


def _write(sae: SAE, latents: Tensor, *, directions: Tensor, alive: Tensor) -> None:
    norms = sae.W_enc.norm(dim=0)
    norm = norms[alive].mean() if bool(alive.any()) else norms.mean()
    sae.W_dec[latents] = directions
    sae.W_enc[:, latents] = (_ENCODER_NORM * norm * directions).T
    sae.b_enc[latents] = 0.0
