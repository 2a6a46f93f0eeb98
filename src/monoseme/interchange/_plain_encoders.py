"""SAEs and transcoders whose encoder reads x as it is, which is how most tools keep them: from their tensors to ours.

    f = act(x W_enc + b_enc),   y_hat = f W_dec + b_dec (+ x W_skip)

with act relu, topk or a threshold for each latent. An SAE of ours reads x - b_dec: its b_enc is b_enc + b_dec W_enc. A
transcoder's encoder is centred on a buffer of its own, which is zero here.
Letters: D model width, F latents.
"""

from typing import Any, Literal, NamedTuple

import torch

from monoseme.core.errors import ForeignError
from monoseme.interchange._assembled import assembled, centred_bias
from monoseme.interchange._places import with_site
from monoseme.saes import SAE, NormaliseConfig
from monoseme.saes.relu import ReLU
from monoseme.saes.thresholded import Thresholded
from monoseme.saes.topk import TopK
from monoseme.saes.transcoder import Transcoder
from monoseme.tensors.shapes import Float, Tensor

Activation = Literal["relu", "topk", "threshold"]
NO_SCALE = NormaliseConfig(kind="none")


class PlainEncoder(NamedTuple):
    """The tensors of an SAE or a transcoder, float32."""

    W_enc: Float[Tensor, "D F"]
    b_enc: Float[Tensor, " F"]
    W_dec: Float[Tensor, "F D"]
    b_dec: Float[Tensor, " D"]
    threshold: Float[Tensor, " F"] | None = None
    """What an activation must be above; one below zero is zero, as no activation is kept that is not positive."""
    W_skip: Float[Tensor, "D D"] | None = None
    """x W_skip is what goes past the latents, in a transcoder."""


class Place(NamedTuple):
    """Where an SAE learned, as a setting says, else as the files say."""

    asked: str | None = None
    known: str | None = None


def sae_of(
    plain: PlainEncoder,
    activation: Activation,
    *,
    k: int | None = None,
    normalise: NormaliseConfig = NO_SCALE,
    place: Place,
    where: str,
) -> SAE:
    """An SAE of ours that computes the same, of activations that `normalise` gives.

    Raises ForeignError, SiteError for a place that is none.
    """
    d_in, n_latents = plain.W_enc.shape
    settings: dict[str, Any] = {"d_in": d_in, "n_latents": n_latents, "normalise": normalise}
    state = {
        "W_enc": plain.W_enc,
        "b_enc": centred_bias(plain.b_enc, plain.W_enc, plain.b_dec),
        "W_dec": plain.W_dec.contiguous(),
        "b_dec": plain.b_dec,
    }
    if activation == "threshold":
        config, state["threshold"] = Thresholded.Config(**settings), _thresholds(plain)
    elif activation == "topk":
        config = TopK.Config(**settings, k=_checked_k(k, n_latents, where))
    else:
        config = ReLU.Config(**settings)
    return assembled(with_site(config, *place), state, where=where)


def transcoder_of(plain: PlainEncoder, activation: Activation, *, k: int | None = None, place: Place, where: str) -> SAE:
    """As `sae_of`, from one place to another: `place` names two, parted by a comma."""
    d_in, n_latents = plain.W_enc.shape
    if plain.W_dec.shape[1] != d_in:
        raise ForeignError(f"{where}: reads D={d_in} and writes D={plain.W_dec.shape[1]}; a transcoder here has one width")
    settings: dict[str, Any] = {"d_in": d_in, "n_latents": n_latents, "n_sites": 2, "normalise": NO_SCALE}
    state = {"W_enc": plain.W_enc, "b_enc": plain.b_enc, "W_dec": plain.W_dec.contiguous(), "b_dec": plain.b_dec}
    if activation == "threshold":
        state["threshold"] = _thresholds(plain)
    if activation == "topk":
        settings["k"] = _checked_k(k, n_latents, where)
    if plain.W_skip is not None:
        state["W_skip"] = plain.W_skip.contiguous()
    config = Transcoder.Config(**settings, codes=activation, skip=plain.W_skip is not None)
    return assembled(with_site(config, *place), state, where=where)


def _thresholds(plain: PlainEncoder) -> Tensor:
    found = torch.zeros(plain.W_enc.shape[1]) if plain.threshold is None else plain.threshold
    return found.clamp_min(0.0)


def _checked_k(k: int | None, n_latents: int, where: str) -> int:
    if k is None or not 1 <= k <= n_latents:
        raise ForeignError(f"{where}: k is {k}; it must be from 1 to the number of latents, {n_latents}")
    return k
