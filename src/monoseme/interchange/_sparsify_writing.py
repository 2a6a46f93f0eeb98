"""From an SAE or a transcoder of ours to a folder that sparsify's `SparseCoder.load_from_disk` reads."""

import json
from pathlib import Path
from typing import Any

import torch

from monoseme.core.errors import ConfigError
from monoseme.interchange._assembled import plain_bias
from monoseme.interchange._base import SaeFormat, WholeSae
from monoseme.interchange._sparsify_folder import CFG, RUN, WEIGHTS
from monoseme.tensors.saving import save_tensors
from monoseme.tensors.shapes import Tensor

_MODULES = {"resid_post": "", "mlp_out": ".mlp", "attn_out": ".self_attn"}
_UNIT = 1e-4
"""How far from 1 a norm may be and count as normalised."""


def write_hook(whole: WholeSae, folder: Path, config: SaeFormat.WriteConfig) -> tuple[str, ...]:
    """Writes it; says what is lost. Raises ConfigError for what sparsify cannot hold."""
    sae: Any = whole.sae
    kind = sae.config.plugin_name
    tensors = _transcoder(sae) if kind == "transcoder" else _topk(sae)
    settings = _cfg(sae, transcode=kind == "transcoder")
    site = whole.sites[-1]
    lost: list[str] = []
    out = folder
    if site.kind in _MODULES:
        out = folder / f"layers.{site.layer}{_MODULES[site.kind]}"
        out.mkdir()
        lost.append(f"the hook point is written as {out.name}; a model that names its modules otherwise needs another name")
        if whole.model:
            run = {"sae": settings, "model": whole.model, "hookpoints": [out.name]}
            (folder / RUN).write_text(json.dumps(run, indent=2) + "\n", encoding="utf-8")
    else:
        lost.append(f"{site.kind} is no module's output: the folder does not say where the SAE learned")
    dtype = getattr(torch, config.dtype)
    rounded = {name: value.detach().to(device="cpu", dtype=dtype) for name, value in tensors.items()}
    save_tensors(rounded, out / WEIGHTS, metadata={"format": "pt"})
    (out / CFG).write_text(json.dumps(settings) + "\n", encoding="utf-8")
    if config.dtype != "float32":
        lost.append(f"numbers are rounded to {config.dtype}")
    return tuple(lost)


def _topk(sae: Any) -> dict[str, Tensor]:
    config = sae.config
    if config.plugin_name != "topk" or config.normalise.kind != "none":
        scale = " on standardised vectors" if config.plugin_name == "topk" else ""
        raise ConfigError(
            f"sparsify holds topk (with groups too) and transcoders with topk codes, not {config.plugin_name}{scale}.\n"
            "  A format that holds every SAE: plain"
        )
    if config.signed:
        raise ConfigError("sparsify 1.3.3 has no signed codes. A format that holds every SAE: plain")
    if config.groups and config.n_latents % config.k:
        raise ConfigError(f"sparsify's groups are of one size, but {config.n_latents} latents do not part into {config.k}")
    return {"encoder.weight": sae.W_enc.t(), "encoder.bias": sae.b_enc, "W_dec": sae.W_dec, "b_dec": sae.b_dec}


def _transcoder(sae: Any) -> dict[str, Tensor]:
    """Its encoder reads x as it is, and so does the skip."""
    if sae.config.codes != "topk":
        raise ConfigError(f"sparsify holds transcoders with topk codes, not {sae.config.codes}. A format that holds it: plain")
    b_dec = sae.b_dec.detach()
    tensors = {
        "encoder.weight": sae.W_enc.t(),
        "encoder.bias": plain_bias(sae.b_enc.detach(), sae.W_enc.detach(), sae.centre),
        "W_dec": sae.W_dec,
        "b_dec": b_dec,
    }
    if sae.W_skip is None:
        return tensors
    return {**tensors, "W_skip": sae.W_skip.t(), "b_dec": plain_bias(b_dec, sae.W_skip.detach(), sae.centre)}


def _cfg(sae: Any, *, transcode: bool) -> dict[str, Any]:
    config = sae.config
    norms = sae.W_dec.detach().float().norm(dim=1)
    return {
        "activation": "groupmax" if not transcode and config.groups else "topk",
        "expansion_factor": max(1, config.n_latents // config.d_in),
        "normalize_decoder": bool((norms - 1).abs().max() < _UNIT),
        "num_latents": config.n_latents,
        "k": config.k,
        "multi_topk": bool(not transcode and config.multi_k.coefficient),
        "skip_connection": bool(transcode and config.skip),
        "transcode": transcode,
        "d_in": config.d_in,
    }
