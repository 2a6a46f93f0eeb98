"""TemporalFeatureAnalysis ("Priors in Time"): TFA with attention between codes, and the standard SAEs trained beside it.

    conf.yaml                                 groups data, llm {model_hf_name, dimin}, sae {sae_type, sae_diff_type, kval_topk,
                                              tied_weights, n_heads, n_attn_layers, bottleneck_factor, scaling_factor, ...}
    latest_ckpt.safetensors | latest_ckpt.pt  a state dict, or {sae: state dict, iter, ...}; float32 or bfloat16
        TFA          D [F, d]   b [1, d] or [d]   [E [d, F]]   [expected_min_act]
                     attn_layers.{i}.{k_ctx, q_target, v_ctx, c_proj}.{weight, bias}
        SAEStandard  Ae, be, Ad, bd, lambda_pre (`_tfa_standard`)

    r = s x - b,  z = relu(r E / (4 d)), ...: the formulas of `monoseme.saes.tfa`, s the `scaling_factor`

Both work on activations times s, so that their codes are ours times s (`code_factor`). The bias of keys adds one number to all
scores of a query, which the softmax takes out again: ours has none, and it is left behind. An export writes zeros for it.

Ours may have another factor than 1 / (4 d) before the ReLU. With c = sqrt(4 d s_ours) the same SAE has D = c W_dec, E = c W_enc,
codes 1 / c as large, queries, keys and values c times and c_proj 1 / c times the weights: an export writes that, and
`encoder_scale` takes it back. The place in the model is not in the files: a folder `layer_12` means the output of block 12.

Source: github.com/eslubana/TemporalFeatureAnalysis (`sae/saeTemporal.py`, `sae/saeStandard.py`), arXiv:2511.01836.
Letters: d model width, F latents.
"""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import torch
import yaml
from safetensors.torch import save_file

from monoseme.core.errors import ConfigError, ForeignError
from monoseme.interchange._assembled import assembled, matrix, one_tensor
from monoseme.interchange._base import ForeignSae, SaeFormat, WholeSae
from monoseme.interchange._places import with_site
from monoseme.interchange._table_keys import keys_of
from monoseme.interchange._tfa_files import (
    CONF,
    WEIGHTS,
    Checkpoint,
    checkpoint_file,
    is_named_so,
    layer_named,
    read_checkpoint,
    single,
    squeezed,
)
from monoseme.interchange._tfa_standard import STANDARD_TYPES, is_standard, read_standard
from monoseme.saes import SAE, NormaliseConfig
from monoseme.saes.tfa import TFA
from monoseme.tensors.shapes import Tensor

_LAYERS = MappingProxyType({"q_target": "queries", "k_ctx": "keys", "v_ctx": "values", "c_proj": "out"})
_NOVEL = ("relu", "topk", "batchtopk", "nullify")
_PUBLISHED_SCALES = MappingProxyType({"gemma-2-2b": 0.0066666666667, "llama-3.1-8b": 0.085})


class Tfa(SaeFormat):
    """See the module's docstring."""

    looks_for = "conf.yaml with latest_ckpt.pt or latest_ckpt.safetensors"

    @dataclass(frozen=True, kw_only=True)
    class Config(SaeFormat.Config):
        """What conf.yaml says, where it is not there."""

        type: str | None = None
        """How codes are made sparse: relu, topk, batchtopk, nullify of TFA; relu, topk, jumprelu, MP, SpaDE of the others."""
        scaling_factor: float | None = None
        """Factor on activations before the SAE. None: that of conf.yaml, else the published one of the model."""
        k: int | None = None
        """Latents kept per token (count); only for topk, batchtopk, MP."""
        n_heads: int | None = None
        """Heads of attention (count); only for TFA."""
        encoder_scale: float | None = None
        """Factor before the ReLU of TFA; None: theirs, 1 / (4 d). Another gives the same SAE with codes of another size."""

    @dataclass(frozen=True, kw_only=True)
    class WriteConfig(SaeFormat.WriteConfig):
        """In which file."""

        pt: bool = False
        """Write latest_ckpt.pt, which their own loader reads, in place of latest_ckpt.safetensors."""

    config: Config

    def recognises(self, path: Path) -> bool:
        """By the names of its files, or by names of tensors."""
        try:
            file = checkpoint_file(path)
        except OSError:
            return False
        if file is None:
            return False
        keys = keys_of(file)
        return is_named_so(file) or {"D", "b"} <= keys or {"Ae", "Ad", "lambda_pre"} <= keys

    def read(self, path: Path) -> Sequence[ForeignSae]:
        """One SAE."""
        at = read_checkpoint(path)
        notes: list[str] = []
        model = at.text("model_hf_name", "llm")
        if is_standard(at):
            kind = self.config.type or at.text("sae_type", "sae")
            if kind is None:
                raise ConfigError(f"{at.where} does not say of which type it is. Give it:  --type {'|'.join(STANDARD_TYPES)}")
            scale = 1.0 if kind == "SpaDE" else self._scale(at, model, notes)
            sae = read_standard(at, kind=kind, scale=scale, k=self.config.k)
            factor = float(sae.input_factor)
        else:
            scale = self._scale(at, model, notes)
            sae = _read_tfa(at, self.config, scale=scale, notes=notes)
            factor = scale / _stretch(sae.d_in, sae.config.encoder_scale)
        layer = layer_named(at.file)
        known = None if layer is None else f"resid_post.{layer}"
        if known is not None and self.config.site is None:
            notes.append(f"the site is not in the files: {known}, by the name of the folder layer_{layer}")
        sae.config = with_site(sae.config, self.config.site, known)
        name = at.file.parent.name if at.file.stem == WEIGHTS else at.file.stem
        return [ForeignSae(name=_plain_name(name), sae=sae, model=model, notes=tuple(notes), code_factor=factor)]

    def reading(self, whole: WholeSae) -> Config:
        """With our factor before the ReLU."""
        return self.Config(site=",".join(map(str, whole.sites)), encoder_scale=whole.sae.config.encoder_scale)

    def write(self, whole: WholeSae, folder: Path, config: SaeFormat.WriteConfig) -> tuple[str, ...]:
        """`conf.yaml` and the weights."""
        sae = whole.sae
        if not isinstance(sae, TFA) or not isinstance(config, Tfa.WriteConfig):
            raise ConfigError(f"tfa holds TFA alone, not {sae.config.plugin_name}.\n  Try plain, or saelens")
        dtype = getattr(torch, config.dtype)
        tensors = {name: value.detach().cpu().to(dtype).contiguous() for name, value in _their_tensors(sae).items()}
        if config.pt:
            torch.save({"sae": tensors, "iter": 0}, folder / f"{WEIGHTS}.pt")
        else:
            save_file(tensors, folder / f"{WEIGHTS}.safetensors")
        (folder / CONF).write_text(yaml.safe_dump(_conf(whole, config.dtype), sort_keys=False), encoding="utf-8")
        stretch = _stretch(sae.d_in, sae.config.encoder_scale)
        lost = ["the format does not hold the site: name the folder layer_N, or give --site to whoever reads it"]
        lost += (
            [f"their factor before the ReLU is fixed at 1 / (4 d): codes there are ours / {stretch:.6g}"] if stretch != 1 else []
        )
        return (*lost, *([f"numbers are rounded to {config.dtype}"] if config.dtype != "float32" else []))

    def _scale(self, at: Checkpoint, model: str | None, notes: list[str]) -> float:
        """The factor on activations. Raises ConfigError where nothing says it, ForeignError for one that is not positive."""
        found = self.config.scaling_factor or at.number("scaling_factor", "sae", "data")
        if found is None:
            base = "" if model is None else model.rpartition("/")[2].lower()
            found = _PUBLISHED_SCALES.get(base)
            if found is None:
                raise ConfigError(
                    f"{at.where} does not say what activations are multiplied by. Give it:  --scaling_factor 0.0067"
                )
            notes.append(f"scaling_factor is not in the files: {found:g}, that of the published SAEs of {model}, is assumed")
        if not 0 < found < math.inf:
            raise ForeignError(f"{at.where}: scaling_factor is {found:g}; it must be positive")
        return found


def _plain_name(text: str) -> str:
    kept = "".join(letter if letter.isascii() and (letter.isalnum() or letter in "_.-") else "-" for letter in text)
    return kept.strip(".")[:200] or "tfa"


def _stretch(d_in: int, encoder_scale: float) -> float:
    """c: their dictionary over ours."""
    return math.sqrt(4 * d_in * encoder_scale)


def _read_tfa(at: Checkpoint, asked: Tfa.Config, *, scale: float, notes: list[str]) -> TFA:
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
    c = _stretch(d_in, encoder_scale) if asked.encoder_scale is not None else 1.0
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


def _told_of_tfa(at: Checkpoint, asked: Tfa.Config) -> _Told:
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
    for layer, (theirs, ours) in itertools.product(range(n_layers), _LAYERS.items()):
        width = narrow if ours in ("queries", "keys") else n_latents
        name = f"attn_layers.{layer}.{theirs}"
        weight = one_tensor(at.tensors, f"{name}.weight", (width, n_latents), where=at.where)
        bias = squeezed(at.tensors, f"{name}.bias", width, where=at.where)
        factor = c if ours == "out" else 1 / c
        found[f"attention.{layer}.{ours}.weight"] = weight * factor
        if ours != "keys":
            found[f"attention.{layer}.{ours}.bias"] = bias * c if ours == "out" else bias
    return found


def _their_tensors(sae: TFA) -> dict[str, Tensor]:
    """Our weights under their names, for their factor before the ReLU."""
    c, own = _stretch(sae.d_in, sae.config.encoder_scale), sae.state_dict()
    found = {"D": own["W_dec"] * c, "b": own["b_dec"].reshape(1, -1)}
    if not sae.config.tied:
        found["E"] = own["W_enc"] * c
    if sae.config.novel == "batchtopk":
        found["expected_min_act"] = own["threshold"].reshape(1) / c
    for layer, (theirs, ours) in itertools.product(range(sae.config.n_attention_layers), _LAYERS.items()):
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
