"""From a TFA of ours to `conf.yaml` and weights as TemporalFeatureAnalysis has them; `tfa.py` has names and formulas."""

import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import yaml

from monoseme.interchange._base import WholeSae
from monoseme.interchange._tfa_files import CONF, WEIGHTS
from monoseme.interchange._tfa_reading import LAYERS, stretch
from monoseme.saes import SAE
from monoseme.saes.tfa import TFA
from monoseme.tensors.saving import save_tensors
from monoseme.tensors.shapes import Tensor


def write_tfa(sae: TFA, whole: WholeSae, folder: Path, *, dtype: str, pt: bool) -> tuple[str, ...]:
    """Writes it, with `pt` as latest_ckpt.pt; says what is lost."""
    kind = getattr(torch, dtype)
    tensors = {name: value.detach().cpu().to(kind).contiguous() for name, value in _their_tensors(sae).items()}
    if pt:
        torch.save({"sae": tensors, "iter": 0}, folder / f"{WEIGHTS}.pt")
    else:
        save_tensors(tensors, folder / f"{WEIGHTS}.safetensors")
    (folder / CONF).write_text(yaml.safe_dump(_conf(whole, dtype), sort_keys=False), encoding="utf-8")
    c = stretch(sae.d_in, sae.config.encoder_scale)
    lost = ["the format does not hold the site: name the folder layer_N, or give --site to whoever reads it"]
    lost += [f"their factor before the ReLU is fixed at 1 / (4 d): codes there are ours / {c:.6g}"] if c != 1 else []
    return (*lost, *([f"numbers are rounded to {dtype}"] if dtype != "float32" else []))


def _their_tensors(sae: TFA) -> dict[str, Tensor]:
    """Our weights under their names, for their factor before the ReLU."""
    c, own = stretch(sae.d_in, sae.config.encoder_scale), sae.state_dict()
    found = {"D": own["W_dec"] * c, "b": own["b_dec"].reshape(1, -1)}
    if not sae.config.tied:
        found["E"] = own["W_enc"] * c
    if sae.config.novel == "batchtopk":
        found["expected_min_act"] = own["threshold"].reshape(1) / c
    for layer, (theirs, ours) in itertools.product(range(sae.config.n_attention_layers), LAYERS.items()):
        weight = own[f"attention.{layer}.{ours}.weight"]
        bias = own.get(f"attention.{layer}.{ours}.bias")
        bias = weight.new_zeros(weight.shape[0]) if bias is None else bias
        name, is_out = f"attn_layers.{layer}.{theirs}", ours == "out"
        found |= {f"{name}.weight": weight / c if is_out else weight * c, f"{name}.bias": bias / c if is_out else bias}
    return found


def _conf(whole: WholeSae, dtype: str) -> Mapping[str, Any]:
    sae: SAE = whole.sae
    config = sae.config
    settings = {
        "sae_type": "temporal",
        "sae_diff_type": config.novel,
        "tied_weights": config.tied,
        "exp_factor": sae.n_latents / sae.d_in if sae.n_latents % sae.d_in else sae.n_latents // sae.d_in,
        "n_heads": config.n_heads,
        "n_attn_layers": config.n_attention_layers,
        "bottleneck_factor": config.bottleneck,
        "scaling_factor": float(sae.input_factor),
        **({"kval_topk": config.k} if config.novel in ("topk", "batchtopk") else {}),
    }
    return {"data": {"dtype": dtype}, "llm": {"model_hf_name": whole.model, "dimin": sae.d_in}, "sae": settings}
