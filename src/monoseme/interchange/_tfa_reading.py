"""From the files of TemporalFeatureAnalysis to a TFA of ours; `tfa.py` has names and formulas."""

import itertools
import math
from types import MappingProxyType
from typing import Any, NamedTuple

import torch

from monoseme.core.errors import ConfigError, ForeignError
from monoseme.interchange._assembled import assembled, matrix, one_tensor
from monoseme.interchange._tfa_files import CONF, Checkpoint, single, squeezed
from monoseme.saes import NormaliseConfig
from monoseme.saes.tfa import TFA
from monoseme.tensors.shapes import Tensor

LAYERS = MappingProxyType({"q_target": "queries", "k_ctx": "keys", "v_ctx": "values", "c_proj": "out"})
"""Layers of attention: their names -> ours."""
_NOVEL = ("relu", "topk", "batchtopk", "nullify")


class Asked(NamedTuple):
    """What the settings of the import say; None: as the files do."""

    type: str | None
    k: int | None
    n_heads: int | None
    encoder_scale: float | None


def stretch(d_in: int, encoder_scale: float) -> float:
    """c: their dictionary over ours."""
    return math.sqrt(4 * d_in * encoder_scale)


def read_tfa(at: Checkpoint, asked: Asked, *, scale: float, notes: list[str]) -> TFA:
    """One of ours on activations times `scale`; what is to be said of it goes to `notes`. Raises ForeignError, ConfigError."""
    tensors, where = at.tensors, at.where
    n_latents, d_in = matrix(tensors, "D", n_axes=2, where=where).shape
    n_layers = _n_layers(at)
    narrow = matrix(tensors, "attn_layers.0.q_target.weight", n_axes=2, where=where).shape[0]
    if n_latents % narrow:
        raise ForeignError(f"{where}: queries are {narrow} wide, which does not divide {n_latents} latents")
    told = _told_of_tfa(at, asked)
    k: dict[str, Any] = {} if told.k is None else {"k": told.k}
    encoder_scale = asked.encoder_scale or 1 / (4 * d_in)
    config = TFA.Config(
        d_in=d_in,
        n_latents=n_latents,
        novel=told.novel,
        n_heads=told.n_heads,
        n_attention_layers=n_layers,
        bottleneck=n_latents // narrow,
        tied="E" not in tensors,
        encoder_scale=encoder_scale,
        normalise=NormaliseConfig(kind="constant", constant=scale),
        **k,
    )
    c = stretch(d_in, encoder_scale) if asked.encoder_scale is not None else 1.0
    state = {
        "W_dec": one_tensor(tensors, "D", (n_latents, d_in), where=where) / c,
        "b_dec": squeezed(tensors, "b", d_in, where=where),
        "input_factor": torch.tensor(scale),
        **_attention(at, n_latents, narrow, n_layers=n_layers, c=c),
    }
    if "E" in tensors:
        state["W_enc"] = one_tensor(tensors, "E", (d_in, n_latents), where=where) / c
    if told.novel == "batchtopk":
        state["threshold"] = single(tensors, "expected_min_act", where=where).float() * c
    notes.append("the bias of keys is left behind: it adds one number to all scores of a query, and changes no result")
    sae = assembled(config, state, where=where)
    assert isinstance(sae, TFA)
    return sae


def _n_layers(at: Checkpoint) -> int:
    """Attention layers in the file. Raises ForeignError where one is missing, or the file is not as tied as conf.yaml says."""
    numbers = {name.split(".")[1] for name in at.tensors if name.startswith("attn_layers.") and name.count(".") == 3}
    if not numbers or numbers != {str(number) for number in range(len(numbers))}:
        raise ForeignError(f"{at.where} should hold attn_layers.0, 1, ..., but holds {', '.join(sorted(numbers)) or 'none'}")
    told, tied = at.setting("tied_weights", "sae"), "E" not in at.tensors
    if told is not None and bool(told) != tied:
        held = "no E" if tied else "E"
        raise ForeignError(f"{at.where} has {held}, but tied_weights of {at.file.parent / CONF} is {told!r:.20}")
    return len(numbers)


class _Told(NamedTuple):
    """What the tensors do not show."""

    novel: Any
    """How novel codes are made sparse, one of `_NOVEL`."""
    n_heads: int
    k: int | None
    """None where the kind keeps no fixed number."""


def _told_of_tfa(at: Checkpoint, asked: Asked) -> _Told:
    """By the settings, else by conf.yaml.

    Raises ConfigError with the flag, where neither a setting nor conf.yaml says.
    """
    novel = asked.type or at.text("sae_diff_type", "sae")
    if novel not in _NOVEL:
        raise ConfigError(
            f"{at.where} does not say how novel codes are made sparse ({novel}). Give it:  --type {'|'.join(_NOVEL)}"
        )
    n_heads = asked.n_heads or at.whole_number("n_heads", "sae")
    if n_heads is None:
        raise ConfigError(f"{at.where} does not say how many heads attention has. Give it:  --n_heads 4")
    if novel not in ("topk", "batchtopk"):
        return _Told(novel, n_heads, None)
    k = asked.k or at.whole_number("kval_topk", "sae")
    if k is None:
        raise ConfigError(f"{at.where} does not say how many latents are kept per token. Give it:  --k 192")
    return _Told(novel, n_heads, k)


def _attention(at: Checkpoint, n_latents: int, narrow: int, *, n_layers: int, c: float) -> dict[str, Tensor]:
    """Weights of attention under our names."""
    found: dict[str, Tensor] = {}
    for layer, (theirs, ours) in itertools.product(range(n_layers), LAYERS.items()):
        width = narrow if ours in ("queries", "keys") else n_latents
        name = f"attn_layers.{layer}.{theirs}"
        weight = one_tensor(at.tensors, f"{name}.weight", (width, n_latents), where=at.where)
        bias = squeezed(at.tensors, f"{name}.bias", width, where=at.where)
        factor = c if ours == "out" else 1 / c
        found[f"attention.{layer}.{ours}.weight"] = weight * factor
        if ours != "keys":
            found[f"attention.{layer}.{ours}.bias"] = bias * c if ours == "out" else bias
    return found
