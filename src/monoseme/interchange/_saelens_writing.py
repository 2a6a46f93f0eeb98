"""SAEs of ours as SAELens keeps them: cfg.json of version 6 and the tensors, for use (not for going on with training).

    relu -> standard    topk -> topk, with signed abstopk    thresholded -> jumprelu    transcoder -> (jumprelu_)(skip_)transcoder
    matching_pursuit -> matching_pursuit    tfa -> temporal    and what export() makes one of these

Parameters go over as they are, to the bit: b_dec is taken off the input there too (`apply_b_dec_to_input`). Transcoders read x as
it is there, so that what ours are centred on goes into the biases.
Letters: D model width, F latents.
"""

from collections.abc import Mapping
from itertools import accumulate
from typing import Any, NamedTuple

import torch

from monoseme.core.errors import ConfigError
from monoseme.interchange._assembled import plain_bias
from monoseme.interchange._base import WholeSae
from monoseme.interchange._saelens_config import MODELS
from monoseme.interchange._saelens_scaling import EPS, stretch
from monoseme.models.hook_names import site_hook
from monoseme.saes import SAE
from monoseme.tensors.shapes import Tensor

VERSION = "6.54.12"
"""Of sae-lens, whose layout is written and against which it is tested."""
_EPS_OFF = 1e-5
"""Between eps of an SAE and SAELens' own: what is that much smaller than deviations of activations, which are about 1."""
_HELP = "  Formats that hold it: plain"
_ATTENTION = {"queries": "q_target", "keys": "k_ctx", "values": "v_ctx", "out": "c_proj"}


class Written(NamedTuple):
    """What is to be in the files."""

    architecture: str
    tensors: Mapping[str, Tensor]
    settings: dict[str, Any]
    lost: tuple[str, ...] = ()
    details: dict[str, Any] | None = None
    """`training_architecture` and its details, where they say more than the architecture."""


def written(sae: SAE) -> Written:
    """The tensors and settings of an SAE on raw activations. Raises ConfigError for one that SAELens has no place for."""
    name, config = sae.config.plugin_name, sae.config
    if name == "relu":
        return Written("standard", _dictionary(sae), {})
    if name == "topk" and not config.groups:
        return Written("abstopk" if config.signed else "topk", _dictionary(sae), _k(config.k))
    if name == "normalized_topk":
        return Written("topk", _dictionary(sae), _k(config.k))
    if (name == "matryoshka" and config.codes == "topk") or (name == "tsae" and config.inference == "k"):
        return Written("topk", _dictionary(sae), _k(config.k), ("groups of latents are not held for topk",))
    if name == "thresholded":
        return _thresholded(sae)
    if name == "transcoder":
        return _transcoder(sae)
    if name == "matching_pursuit":
        return _pursuit(sae)
    if name == "tfa":
        return _temporal(sae)
    raise ConfigError(_refusal(name, config))


class ScaledBy(NamedTuple):
    """How SAELens scales what such an SAE reads."""

    normalize_activations: str
    lost: tuple[str, ...] = ()
    """What of it differs."""


class Metadata(NamedTuple):
    """What SAELens keeps of the model, the data and the training."""

    table: dict[str, Any]
    lost: tuple[str, ...]
    """What it has no name for."""


def scaled(sae: SAE) -> ScaledBy:
    """Raises ConfigError for an eps that SAELens does not have."""
    normalise = sae.config.normalise
    if normalise.kind == "vector_norm":
        return ScaledBy("constant_norm_rescale")
    if normalise.kind != "standardise":
        return ScaledBy("none")
    if abs(normalise.eps - EPS) > _EPS_OFF:
        raise ConfigError(
            f"SAELens adds {EPS:g} to each vector's deviation, always; this SAE adds {normalise.eps:g}, so that its codes would "
            f"be others.\n{_HELP}, llama3_sae (of normalized_topk)"
        )
    lost = [f"SAELens brings reconstructions back by std, not by std + {EPS:g}: they differ by {EPS:g} in its unit"]
    if normalise.eps != EPS:
        lost.append(f"SAELens adds {EPS:g} to each vector's deviation, this SAE {normalise.eps:g}: codes differ by that much")
    return ScaledBy("layer_norm", tuple(lost))


def metadata(whole: WholeSae, made: Written) -> Metadata:
    """The metadata of an SAE with what it knows of its making."""
    hooks = [site_hook(site) for site in whole.sites]
    lost = [
        f"SAELens has no hook at {s}: hook_name is left empty" for s, hook in zip(whole.sites, hooks, strict=True) if not hook
    ]
    earlier = whole.facts.get("imported")
    told = {**(earlier if isinstance(earlier, dict) else {}), **whole.facts}
    short = {hub: name for name, hub in MODELS.items()}
    known: dict[str, Any] = {
        "sae_lens_version": VERSION,
        "sae_lens_training_version": None,
        "model_name": whole.model and short.get(whole.model, whole.model),
        "model_class_name": "HookedTransformer",
        "hook_name": hooks[0] if hooks else None,
        "hook_head_index": None,
        "model_from_pretrained_kwargs": {},
        **_special_tokens(whole.facts, told),
        "context_size": _first(told, "context_size", "context_len", kind=int, default=None),
        "seqpos_slice": [None],
        "dataset_path": _first(told, "dataset_path", "corpus", kind=str, default=None),
        "training_architecture": made.architecture,
        "neuronpedia_id": None,
    }
    if len(hooks) > 1:
        known |= {"hook_name_out": hooks[1], "hook_head_index_out": None}
    return Metadata({**known, **(made.details or {})}, tuple(lost))


def _special_tokens(facts: Mapping[str, Any], told: dict[str, Any]) -> dict[str, Any]:
    """Whether text began with BOS, and whether the SAE was kept from BOS and the like; `facts` of a run of ours go before others.

    SAELens leaves out BOS, EOS, PAD and SEP where `exclude_special_tokens` is true; ours all special tokens. null: not known.
    """
    bos = facts.get("bos")
    prepend = bos != "never" if isinstance(bos, str) else _first(told, "prepend_bos", kind=bool, default=True)
    kept = facts.get("keep_special")
    exclude = not kept if isinstance(kept, bool) else _first(told, "exclude_special_tokens", kind=bool, default=None)
    return {"prepend_bos": prepend, "exclude_special_tokens": exclude, "sequence_separator_token": "bos" if prepend else None}


def _first(told: dict[str, Any], *names: str, kind: type, default: Any) -> Any:
    return next((told[name] for name in names if type(told.get(name)) is kind), default)


def _dictionary(sae: SAE) -> dict[str, Tensor]:
    return {"W_enc": sae.W_enc, "b_enc": sae.b_enc, "W_dec": sae.W_dec, "b_dec": sae.b_dec}


def _k(k: int) -> dict[str, Any]:
    return {"k": k, "rescale_acts_by_decoder_norm": False}


def _thresholded(sae: SAE) -> Written:
    tensors = {**_dictionary(sae), "threshold": sae.get_buffer("threshold").expand(sae.n_latents)}
    groups = sae.config.groups
    if not groups:
        return Written("jumprelu", tensors, {})
    widths = list(accumulate(groups.values()))
    details = {"training_architecture": "matryoshka_batchtopk", "training_architecture_details": {"matryoshka_widths": widths}}
    plain = [f"group_{i}" for i in range(len(groups))]
    lost = () if list(groups) == plain else (f"names of groups ({', '.join(groups)}) are not held; their widths are",)
    return Written("jumprelu", tensors, {}, lost, details)


def _transcoder(sae: SAE) -> Written:
    config, centre = sae.config, sae.get_buffer("centre")
    if config.codes == "topk":
        raise ConfigError(f'SAELens has transcoders with relu or thresholds, not with codes "topk".\n{_HELP}, sparsify')
    tensors = _dictionary(sae)
    if bool((centre != 0).any()):
        tensors["b_enc"] = plain_bias(sae.b_enc, sae.W_enc, centre)
    if config.skip:
        skip = sae.get_parameter("W_skip")
        tensors["W_skip"] = skip.t()
        if bool((centre != 0).any()):
            tensors["b_dec"] = plain_bias(sae.b_dec, skip, centre)
    if config.codes != "relu":
        threshold = sae.get_buffer("threshold")
        # A running threshold is one on activations times the weight of the site.
        weight = sae.get_buffer("site_weights") if config.codes == "batchtopk" else torch.ones(())
        tensors["threshold"] = (threshold / weight).expand(sae.n_latents)
    name = f"{'' if config.codes == 'relu' else 'jumprelu_'}{'skip_' if config.skip else ''}transcoder"
    return Written(name, tensors, {"d_out": sae.d_out, "apply_b_dec_to_input": False})


def _pursuit(sae: SAE) -> Written:
    config = sae.config
    if config.step != 1.0 or config.stop_below:
        raise ConfigError(
            f"SAELens takes whole steps and stops by a norm; this matching pursuit has step {config.step:g} and stop_below "
            f"{config.stop_below:g}.\n{_HELP}"
        )
    lost = "where no atom has a positive product, SAELens takes nothing and this SAE a negative code"
    settings = {
        "residual_threshold": config.stop_norm,
        "max_iterations": config.k,
        "stop_on_duplicate_support": config.stop_at_repeat,
    }
    return Written("matching_pursuit", {"W_dec": sae.W_dec, "b_dec": sae.b_dec}, settings, () if config.positive else (lost,))


def _temporal(sae: SAE) -> Written:
    """SAELens' factor before the ReLU is 1 / (4 D): with c = sqrt(4 D s), s ours, the same SAE has c W_dec and codes / c."""
    config = sae.config
    if config.novel not in ("relu", "topk"):
        raise ConfigError(f'SAELens has temporal SAEs with relu or topk, not with novel "{config.novel}".\n{_HELP}, tfa')
    c = stretch(sae.d_in, config.encoder_scale)
    tensors = {"W_dec": sae.W_dec * c, "b_dec": sae.b_dec, **({} if config.tied else {"W_enc": sae.W_enc * c})}
    for name, value in sae.state_dict().items():
        if name.startswith("attention."):
            _, layer, part, kind = name.split(".")
            tensors[f"attn_layers.{layer}.{_ATTENTION[part]}.{kind}"] = value * _stretched(part, kind, c)
            if part == "keys":  # one cancels in the softmax: ours have none, theirs must be there
                tensors[f"attn_layers.{layer}.k_ctx.bias"] = value.new_zeros(value.shape[0])
    settings = {
        "n_heads": config.n_heads,
        "n_attn_layers": config.n_attention_layers,
        "bottleneck_factor": config.bottleneck,
        "sae_diff_type": config.novel,
        "kval_topk": config.k if config.novel == "topk" else None,
        "tied_weights": config.tied,
        "activation_normalization_factor": 1.0,
    }
    lost = ["SAELens' encode gives the novel codes alone"]
    if c != 1.0:
        lost.append(f"SAELens' factor before the ReLU is 1 / (4 D): codes there are ours / {c:.6g}, and reconstructions the same")
    return Written("temporal", tensors, settings, tuple(lost))


def _stretched(part: str, kind: str, c: float) -> float:
    """By what a parameter of the attention is multiplied, so that its result is 1 / c as large for codes that are."""
    if part == "out":
        return 1 / c
    return c if kind == "weight" else 1.0


def _refusal(name: str, config: Any) -> str:
    if name == "mlsae":
        return (
            "SAELens holds SAEs of one place; this one reads several, with one dictionary for all.\n"
            "  Name the place to write:  --site resid_post.3      (all of them: plain, mlsae)"
        )
    if name == "topk":
        return f"SAELens has no TopK over groups of neighbours (groups={config.groups}).\n{_HELP}, sparsify"
    if name in ("crosscoder", "clt"):
        return f"SAELens holds SAEs of one place, and transcoders from one to another, not {name}.\n{_HELP}"
    return f"SAELens has no architecture for {name}.\n{_HELP}"
