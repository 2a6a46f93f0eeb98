"""From an MLSAE of ours to `config.json` and `model.safetensors` as its authors keep it, alone or with its language model."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from monoseme.core.errors import ConfigError
from monoseme.core.files import write_json
from monoseme.interchange._base import WholeSae
from monoseme.interchange._mlsae_names import CONFIG, EPS, PREFIX, TENSORS
from monoseme.interchange._mlsae_transformer import transformer_tensors
from monoseme.models.site import Site
from monoseme.saes import SAE
from monoseme.tensors.saving import save_tensors
from monoseme.tensors.shapes import Tensor

_DEAD_STEPS = 76
"""Micro-batches of 131,072 tokens after which a latent counted as dead by default."""


def write_mlsae(whole: WholeSae, folder: Path, *, dtype: str, model: str | None) -> tuple[str, ...]:
    """Writes it, beside the language model in the folder `model`, if one is given; says what is lost.

    Raises ConfigError for what the format cannot hold.
    """
    sae = whole.sae
    _require_writable(sae, whole.sites)
    kind = getattr(torch, dtype)
    own = {"encoder.weight": sae.W_enc.t(), "decoder.weight": sae.W_dec.t(), "pre_encoder_bias": sae.b_dec}
    tensors: dict[str, Tensor] = {name: value.detach().cpu().to(kind).contiguous() for name, value in own.items()}
    told: dict[str, Any] = {
        "n_inputs": sae.d_in,
        "n_latents": sae.n_latents,
        "k": sae.config.k,
        "dead_steps_threshold": _DEAD_STEPS,
        "dead_threshold": sae.config.dead_threshold,
        "auxk": sae.config.k_aux,
        "standardize": sae.config.normalise.kind == "standardise",
    }
    lost = [f"numbers are rounded to {dtype}"] if dtype != "float32" else []
    if model is not None:
        tensors = {f"{PREFIX}{name}": value for name, value in tensors.items()}
        tensors |= transformer_tensors(model)
        told = _tfm_config(whole, model, told)
    else:
        lost.append(f"the plain form holds neither the layers nor the model: give --site {','.join(map(str, whole.sites))}")
    save_tensors(tensors, folder / TENSORS)
    write_json(folder / CONFIG, told)
    return tuple(lost)


def _require_writable(sae: SAE, sites: Sequence[Site]) -> None:
    """Raises ConfigError for what the format cannot hold."""
    config = sae.config
    if config.plugin_name != "mlsae":
        raise ConfigError(
            f"mlsae holds one dictionary for several layers (mlsae), not {config.plugin_name}.\n  It can go to: plain"
        )
    if config.lens is not None:
        raise ConfigError("an SAE behind a tuned lens would not be the same there.\n  It can go to: plain")
    if config.normalise.kind == "standardise" and config.normalise.eps != EPS:
        raise ConfigError(f"mlsae standardises with eps 1e-05, this SAE with {config.normalise.eps:g}.\n  It can go to: plain")
    if any(site.kind != "resid_post" for site in sites):
        raise ConfigError(f"mlsae reads the outputs of blocks (resid_post), not {', '.join(map(str, sites))}.\n  Try plain")


def _tfm_config(whole: WholeSae, model: str, told: Mapping[str, Any]) -> dict[str, Any]:
    """The constructor's arguments of the form with its model."""
    sae = whole.sae
    return {
        "model_name": whole.model or model,
        "layers": [site.layer for site in whole.sites],
        "n_latents": sae.n_latents,
        "expansion_factor": sae.n_latents / sae.d_in,
        "k": told["k"],
        "dead_tokens_threshold": float(sae.config.dead_after_tokens),
        "dead_threshold": told["dead_threshold"],
        "auxk": told["auxk"],
        "auxk_coef": sae.config.auxk_coefficient,
        "standardize": told["standardize"],
        "tuned_lens": False,
    }
