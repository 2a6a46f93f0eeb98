"""SAEs of ours as state dicts of dictionary_learning and its forks, with the config.json that their loaders read.

| ours, as exported | dict_class |
|---|---|
| relu | `AutoEncoder` |
| topk; batchtopk, tsae and matryoshka used with a k for each token | `AutoEncoderTopK` |
| thresholded with one threshold | `BatchTopKSAE`, with groups `MatryoshkaBatchTopKSAE` |
| thresholded with a threshold for each latent | `JumpReluAutoEncoder` (b_enc - b_dec W_enc), on request `GatedAutoEncoder` |

A gate that opens where z > threshold is z - threshold > 0: gate_bias = b_enc - threshold, mag_bias = b_enc, r_mag = 0.
Letters: D model width, F latents.
"""

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, NamedTuple

import torch

from monoseme.core.errors import ConfigError
from monoseme.core.files import write_json
from monoseme.interchange._assembled import plain_bias
from monoseme.interchange._base import WholeSae
from monoseme.interchange._dictionary_learning_files import CONFIG, WEIGHTS
from monoseme.tensors.shapes import Tensor

_TRAINERS = {
    "AutoEncoder": "StandardTrainer",
    "GatedAutoEncoder": "GatedSAETrainer",
    "JumpReluAutoEncoder": "JumpReluTrainer",
    "AutoEncoderTopK": "TopKTrainer",
    "BatchTopKSAE": "BatchTopKTrainer",
    "MatryoshkaBatchTopKSAE": "MatryoshkaBatchTopKTrainer",
    "TemporalMatryoshkaBatchTopKSAE": "TemporalMatryoshkaBatchTopKTrainer",
}
_ABOVE = ("BatchTopKSAE", "MatryoshkaBatchTopKSAE", "JumpReluAutoEncoder", "GatedAutoEncoder")
"""Classes that a thresholded SAE can become."""


class Written(NamedTuple):
    """A state dict before it is saved."""

    dict_class: str
    tensors: dict[str, Tensor]
    settings: dict[str, Any]
    """Of this class, for config.json."""
    lost: tuple[str, ...] = ()


def written(whole: WholeSae, *, dict_class: str | None, k: int | None) -> Written:
    """The state dict of a class of dictionary_learning: of the one that is asked for, or of the one that holds it whole.

    Raises ConfigError where no class holds such an SAE, where another is asked for, and where k is needed and not known.
    """
    name = whole.sae.config.plugin_name
    possible = _possible(whole)
    if dict_class is not None and dict_class not in possible:
        raise ConfigError(f"this {name} cannot be a {dict_class} of dictionary_learning.\n  Allowed: {', '.join(possible)}")
    chosen = dict_class or possible[0]
    if k is not None and chosen not in ("BatchTopKSAE", "MatryoshkaBatchTopKSAE"):
        raise ConfigError(f"--k is given, but a {chosen} made of {name} has none to be told: leave it out")
    if chosen == "AutoEncoder":
        return _auto_encoder(whole)
    if chosen == "AutoEncoderTopK":
        lost = () if name == "topk" else (f"the groups and the running threshold of {name} are not in an {chosen}",)
        tensors = {**_linear(whole), **_scalars(whole.sae.config.k, -1.0)}
        return Written(chosen, tensors, {"k": whole.sae.config.k}, lost)
    if chosen == "JumpReluAutoEncoder":
        return _jump_relu(whole)
    if chosen == "GatedAutoEncoder":
        return _gated(whole)
    found = trained_k(whole, k, chosen)
    scalars = _scalars(found, float(whole.sae.get_buffer("threshold")[0]))
    if chosen == "BatchTopKSAE":
        return Written(chosen, {**_linear(whole), **scalars}, {"k": found}, _without_groups(whole))
    return Written(chosen, {**grouped(whole), **scalars}, {"k": found, **group_settings(whole)})


def grouped(whole: WholeSae) -> dict[str, Tensor]:
    """What the grouped classes hold but for k and the threshold."""
    sae = whole.sae
    sizes = torch.tensor([*sae.config.groups.values()])
    return {"W_enc": sae.W_enc, "b_enc": sae.b_enc, "W_dec": sae.W_dec, "b_dec": sae.b_dec, "group_sizes": sizes}


def group_settings(whole: WholeSae) -> dict[str, Any]:
    """What config.json says of groups."""
    sizes = [*whole.sae.config.groups.values()]
    weights = _trained(whole).get("group_weights")
    fractions = [size / sum(sizes) for size in sizes]
    return {"group_sizes": sizes, "group_fractions": fractions, "group_weights": weights}


def one_threshold(whole: WholeSae) -> bool:
    """Whether this is a thresholded SAE whose latents all have the same threshold."""
    if whole.sae.config.plugin_name != "thresholded":
        return False
    threshold = whole.sae.get_buffer("threshold")
    return bool((threshold == threshold[0]).all())


def trained_k(whole: WholeSae, asked: int | None, dict_class: str) -> int:
    """The k that its class must be given: asked for, or that of its training. Raises ConfigError."""
    k = asked if asked is not None else _trained(whole).get("k")
    if isinstance(k, bool) or not isinstance(k, int) or not 1 <= k <= whole.sae.n_latents:
        said = "its artifact does not say it" if k is None else f"{k!r} is none"
        raise ConfigError(
            f"a {dict_class} must say how many latents per token it was trained to keep, and {said}.\n"
            "  Give it (codes do not depend on it):  --k 64"
        )
    return k


def save(whole: WholeSae, folder: Path, made: Written, *, dtype: str) -> tuple[str, ...]:
    """Writes ae.pt and config.json; says what is lost and how numbers were rounded."""
    kind = getattr(torch, dtype)
    tensors = {
        name: value.detach().cpu().to(kind if value.is_floating_point() and value.ndim else value.dtype).contiguous()
        for name, value in made.tensors.items()
    }
    torch.save(tensors, folder / WEIGHTS)
    write_json(folder / CONFIG, {"trainer": _trainer(whole, made), "buffer": _buffer(whole)})
    return (*made.lost, *([f"numbers are rounded to {dtype}"] if dtype != "float32" else []))


def refuse_standardised(whole: WholeSae, format: str) -> None:
    """Raises ConfigError for an SAE that scales each vector by itself, which no class of dictionary_learning does."""
    if whole.sae.unit != "activation" or whole.sae.config.normalise.kind != "none":
        raise ConfigError(f"{format} holds SAEs on raw activations; this one scales each vector by itself.\n  Allowed: plain")


def _possible(whole: WholeSae) -> tuple[str, ...]:
    """The classes that hold this SAE, the first the one that holds it whole. Raises ConfigError where none does."""
    sae, name = whole.sae, whole.sae.config.plugin_name
    refuse_standardised(whole, "dictionary_learning")
    if name == "relu":
        return ("AutoEncoder",)
    if name == "thresholded":
        if not one_threshold(whole):
            return ("JumpReluAutoEncoder", "GatedAutoEncoder")
        return (_ABOVE[1], _ABOVE[0], *_ABOVE[2:]) if sae.config.groups else (_ABOVE[0], *_ABOVE[2:])
    settings = {field.name: getattr(sae.config, field.name) for field in fields(sae.config)}
    by_k = name == "topk" or settings.get("inference") == "k" or (name == "matryoshka" and settings["codes"] == "topk")
    if by_k and not settings.get("signed") and not settings.get("groups"):
        return ("AutoEncoderTopK",)
    raise ConfigError(
        f"dictionary_learning has no class for {name} with these settings; it holds relu, topk and what has thresholds.\n"
        "  Formats that hold it: plain"
    )


def _linear(whole: WholeSae, *, b_dec: str = "b_dec") -> dict[str, Tensor]:
    sae = whole.sae
    linear = {"encoder.weight": sae.W_enc.t(), "encoder.bias": sae.b_enc, "decoder.weight": sae.W_dec.t()}
    return {b_dec: sae.b_dec, **linear}


def _scalars(k: int, threshold: float) -> dict[str, Tensor]:
    return {"k": torch.tensor(k, dtype=torch.int32), "threshold": torch.tensor(threshold)}


def _auto_encoder(whole: WholeSae) -> Written:
    free = bool(((whole.sae.W_dec.norm(dim=1) - 1).abs() > 1e-3).any())
    lost = "decoder rows do not have unit norm: the tool's loader brings them to it unless told not to, and codes change unit"
    return Written("AutoEncoder", _linear(whole, b_dec="bias"), {}, (lost,) if free else ())


def _jump_relu(whole: WholeSae) -> Written:
    sae = whole.sae
    tensors: dict[str, Tensor] = {
        "W_enc": sae.W_enc,
        "b_enc": plain_bias(sae.b_enc.detach(), sae.W_enc.detach(), sae.b_dec.detach()),
        "W_dec": sae.W_dec,
        "b_dec": sae.b_dec,
        "threshold": sae.get_buffer("threshold"),
    }
    return Written("JumpReluAutoEncoder", tensors, {}, _without_groups(whole))


def _gated(whole: WholeSae) -> Written:
    sae = whole.sae
    tensors = _linear(whole, b_dec="decoder_bias")
    del tensors["encoder.bias"]
    biases = {"gate_bias": sae.b_enc - sae.get_buffer("threshold"), "mag_bias": sae.b_enc, "r_mag": torch.zeros_like(sae.b_enc)}
    return Written("GatedAutoEncoder", {**tensors, **biases}, {}, _without_groups(whole))


def _without_groups(whole: WholeSae) -> tuple[str, ...]:
    groups = whole.sae.config.groups
    return (f"its parts ({', '.join(groups)}) are not in the format",) if groups else ()


def _trained(whole: WholeSae) -> Mapping[str, Any]:
    """What its artifact says of how it was trained: by us, or by the tool that it came from."""
    ours = whole.facts.get("trained_as")
    if isinstance(ours, dict):
        return ours
    origin = whole.facts.get("imported")
    theirs = origin.get("trainer") if isinstance(origin, dict) else None
    return theirs if isinstance(theirs, dict) else {}


def _trainer(whole: WholeSae, made: Written) -> dict[str, Any]:
    site, trained = whole.sites[0], _trained(whole)
    return {
        "trainer_class": _TRAINERS[made.dict_class],
        "dict_class": made.dict_class,
        **{name: trained.get(name) for name in ("lr", "steps", "warmup_steps", "decay_start", "auxk_alpha")},
        "seed": whole.sae.config.seed,
        "activation_dim": whole.sae.d_in,
        "dict_size": whole.sae.n_latents,
        **made.settings,
        "device": "cpu",
        "layer": site.layer,
        "lm_name": whole.model,
        "wandb_name": made.dict_class,
        "submodule_name": f"{site.kind}_layer_{site.layer}",
    }


def _buffer(whole: WholeSae) -> dict[str, Any]:
    io = "in" if whole.sites[0].kind in ("resid_pre", "attn_in", "mlp_in") else "out"
    return {"d_submodule": whole.sae.d_in, "io": io, "ctx_len": whole.facts.get("context_len"), "device": "cpu"}
