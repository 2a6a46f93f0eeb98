"""The tensors of SAELens, as SAEs of ours.

    W_enc [D, F]   b_enc [F]   W_dec [F, D]   b_dec [D]      standard, topk, abstopk, and with
    threshold [F] or log_threshold [F]                       jumprelu
    topk_threshold []                                        batchtopk, matryoshka_batchtopk: folders of a run
    b_gate, r_mag, b_mag [F] in place of b_enc               gated
    W_dec [F, D_out]   b_dec [D_out]   W_skip [D_out, D]     transcoders
    W_dec, b_dec                                             matching_pursuit
    W_dec, b_dec, W_enc unless tied, attn_layers.i...        temporal

In the order of SAELens: activations are scaled (`_saelens_scaling`), b_dec is taken off where `apply_b_dec_to_input`, activations
are weighed by norms of decoder rows where `rescale_acts_by_decoder_norm`.
Letters: D model width, F latents.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch

from monoseme.core.errors import ForeignError
from monoseme.interchange._assembled import assembled, centred_bias, taken, with_norms_folded
from monoseme.interchange._plain_encoders import Place, PlainEncoder, transcoder_of
from monoseme.interchange._saelens_config import TRANSCODERS, Told, widths_of
from monoseme.interchange._saelens_scaling import Scaling, Whitening, stretch
from monoseme.saes import SAE
from monoseme.saes.gated import Gated
from monoseme.saes.matching_pursuit import MatchingPursuit
from monoseme.saes.relu import ReLU
from monoseme.saes.tfa import TFA
from monoseme.saes.thresholded import Thresholded
from monoseme.saes.topk import TopK
from monoseme.tensors.shapes import Tensor

_FOLDED = "norms of decoder rows, by which SAELens weighs activations, were put into the encoder: its codes are the same"
_RUN_ONLY = ("batchtopk", "matryoshka_batchtopk")


class Made(NamedTuple):
    """An SAE, and what was done on the way."""

    sae: SAE
    notes: tuple[str, ...] = ()


def sae_of(told: Told, tensors: Mapping[str, Any], *, scaling: Scaling, encoder_scale: float | None = None, where: str) -> Made:
    """The SAE that computes what SAELens does with these tensors, at no site yet. Raises ForeignError.

    `encoder_scale` is that of a temporal one; None: SAELens' own.
    """
    if told.architecture in TRANSCODERS:
        return _transcoder(told, tensors, scaling=scaling, where=where)
    if told.architecture == "temporal":
        return Made(_temporal(told, tensors, scaling=scaling, encoder_scale=encoder_scale or 1 / (4 * told.d_in), where=where))
    if told.architecture == "matching_pursuit":
        return _pursuit(told, tensors, scaling=scaling, where=where)
    if told.architecture == "gated":
        return Made(_gated(told, tensors, scaling=scaling, where=where))
    return _linear(told, tensors, scaling=scaling, where=where)


def _linear(told: Told, tensors: Mapping[str, Any], *, scaling: Scaling, where: str) -> Made:
    """One encoder, and a rule by which activations are kept."""
    d_in, n_latents = told.d_in, told.d_sae
    shapes = {"W_enc": (d_in, n_latents), "b_enc": (n_latents,), "W_dec": (n_latents, d_in), "b_dec": (d_in,)}
    state, notes = taken(tensors, shapes, where=where), list[str]()
    if told.architecture in _RUN_ONLY:
        state["threshold"] = taken(tensors, {"topk_threshold": ()}, where=where)["topk_threshold"].expand(n_latents)
    elif told.architecture == "jumprelu":
        state["threshold"] = _thresholds(tensors, n_latents, where=where)
    if not told.centred:
        state["b_enc"] = centred_bias(state["b_enc"], state["W_enc"], state["b_dec"])
    if told.flag("rescale_acts_by_decoder_norm", default=told.architecture in _RUN_ONLY):
        folded = with_norms_folded(state["W_enc"], state["b_enc"], state["W_dec"])
        state |= {"W_enc": folded.W_enc, "b_enc": folded.b_enc, "W_dec": folded.W_dec}
        notes.append(_FOLDED)
    notes += _finetuned(told, tensors, state, where=where)
    _unwhiten(state, scaling.whitening)
    settings = _settings(told, scaling)
    if "threshold" in state:
        state["threshold"] = state["threshold"].clamp_min(0.0)  # SAELens keeps no activation that is not positive
        config: SAE.Config = Thresholded.Config(**settings, group_sizes=widths_of(told))
    elif told.architecture == "standard":
        config = ReLU.Config(**settings, weight_by_decoder_norm=True)  # as its own penalty does: norms are free
    else:
        k = told.count("k", default=100 if "k" not in told.settings else None, most=n_latents)
        config = TopK.Config(**settings, k=k, signed=told.architecture == "abstopk")
    return Made(_assembled(config, state, scaling, where), tuple(notes))


def _gated(told: Told, tensors: Mapping[str, Any], *, scaling: Scaling, where: str) -> SAE:
    d_in, n_latents = told.d_in, told.d_sae
    shapes: dict[str, tuple[int, ...]] = {"W_enc": (d_in, n_latents), "W_dec": (n_latents, d_in), "b_dec": (d_in,)}
    state = taken(tensors, shapes | dict.fromkeys(("b_gate", "b_mag", "r_mag"), (n_latents,)), where=where)
    if not told.centred:
        ratio = state["r_mag"].double().exp()
        state["b_gate"] = centred_bias(state["b_gate"], state["W_enc"], state["b_dec"])
        state["b_mag"] = centred_bias(state["b_mag"], (state["W_enc"].double() * ratio), state["b_dec"])
    _finetuned(told, tensors, state, where=where)
    _unwhiten(state, scaling.whitening)
    return _assembled(Gated.Config(**_settings(told, scaling), weight_by_decoder_norm=True), state, scaling, where)


def _transcoder(told: Told, tensors: Mapping[str, Any], *, scaling: Scaling, where: str) -> Made:
    """SAELens scales what a transcoder reads alone, and folds a factor as if it scaled what it writes too."""
    d_in, n_latents, d_out = told.d_in, told.d_sae, told.count("d_out", default=768)
    if told.centred:
        raise ForeignError(f"{told.where}: apply_b_dec_to_input is true; b_dec of a transcoder is no part of what it reads")
    if told.normalise not in ("none", "expected_average_only_in"):
        raise ForeignError(
            f"{told.where}: a transcoder whose inputs alone are scaled by {told.normalise} has no equivalent here, "
            "where both of its places are scaled in one way or neither"
        )
    shapes = {"W_enc": (d_in, n_latents), "b_enc": (n_latents,), "W_dec": (n_latents, d_out), "b_dec": (d_out,)}
    if "skip" in told.architecture:
        shapes["W_skip"] = (d_out, d_in)
    state, factor = taken(tensors, shapes, where=where), scaling.factor
    threshold = _thresholds(tensors, n_latents, where=where) if "jumprelu" in told.architecture else None
    skip = state["W_skip"].t() if "W_skip" in state else None
    plain = PlainEncoder(
        state["W_enc"] * factor, state["b_enc"], state["W_dec"] / factor, state["b_dec"] / factor, threshold, skip
    )
    sae = transcoder_of(plain, "relu" if threshold is None else "threshold", place=Place(), where=where)
    return Made(sae, ("the factor on activations was put into the weights, as SAELens does",) if factor != 1.0 else ())


def _temporal(told: Told, tensors: Mapping[str, Any], *, scaling: Scaling, encoder_scale: float, where: str) -> SAE:
    d_in, n_latents = told.d_in, told.d_sae
    n_layers, n_heads = told.count("n_attn_layers", default=1, most=1000), told.count("n_heads", default=8, most=n_latents)
    bottleneck, tied = told.count("bottleneck_factor", default=64, most=n_latents), told.flag("tied_weights", default=True)
    shapes: dict[str, tuple[int, ...]] = {"W_dec": (n_latents, d_in), "b_dec": (d_in,)}
    shapes |= {} if tied else {"W_enc": (d_in, n_latents)}
    if n_latents % (n_heads * bottleneck):
        raise ForeignError(f"{told.where}: {n_latents} latents cannot be divided by {n_heads} heads * {bottleneck}")
    narrow = n_latents // bottleneck
    for layer in range(n_layers):
        for theirs, _, width in _attention(narrow, n_latents):
            shapes |= {f"attn_layers.{layer}.{theirs}.weight": (width, n_latents), f"attn_layers.{layer}.{theirs}.bias": (width,)}
    found = taken(tensors, shapes, where=where)
    state = {name: value for name, value in found.items() if not name.startswith("attn_layers.")}
    if not told.centred:
        if tied:
            state["b_dec"] = torch.zeros_like(state["b_dec"])  # SAELens uses it nowhere then
        elif bool((state["b_dec"] != 0).any()):
            raise ForeignError(f"{told.where}: b_dec is added to reconstructions but not taken off inputs, which tfa cannot hold")
    c = stretch(d_in, encoder_scale)
    state |= {name: state[name] / c for name in ("W_dec", "W_enc") if name in state}
    for layer in range(n_layers):
        for theirs, ours, _ in _attention(narrow, n_latents):
            for part in ("weight", "bias") if ours != "keys" else ("weight",):  # a bias of keys cancels in the softmax
                factor = 1 / c if ours == "out" else c if part == "weight" else 1.0
                state[f"attention.{layer}.{ours}.{part}"] = found[f"attn_layers.{layer}.{theirs}.{part}"] / factor
    k = told.settings.get("kval_topk") if told.text("sae_diff_type") in (None, "topk") else None
    novel: dict[str, Any] = {"novel": "relu"} if k is None else {"novel": "topk", "k": told.count("kval_topk", most=n_latents)}
    config = TFA.Config(
        **_settings(told, scaling),
        **novel,
        n_heads=n_heads,
        n_attention_layers=n_layers,
        bottleneck=bottleneck,
        tied=tied,
        encoder_scale=encoder_scale,
    )
    return _assembled(config, state, scaling, where)


def _attention(narrow: int, n_latents: int) -> tuple[tuple[str, str, int], ...]:
    """Their name, ours and the output width of each linear map."""
    return (
        ("q_target", "queries", narrow),
        ("k_ctx", "keys", narrow),
        ("v_ctx", "values", n_latents),
        ("c_proj", "out", n_latents),
    )


def _pursuit(told: Told, tensors: Mapping[str, Any], *, scaling: Scaling, where: str) -> Made:
    """Its stopping rules are settings of ours; without `apply_b_dec_to_input` SAELens uses b_dec nowhere."""
    d_in, n_latents = told.d_in, told.d_sae
    state = taken(tensors, {"W_dec": (n_latents, d_in), "b_dec": (d_in,)}, where=where)
    if scaling.whitening is not None:
        raise ForeignError(f"{told.where}: whitening cannot be put into a matching pursuit, whose encoder is its decoder")
    if not told.centred:
        state["b_dec"] = torch.zeros_like(state["b_dec"])
    steps = told.count("max_iterations", default=d_in)
    at_repeat = told.flag("stop_on_duplicate_support", default=True)
    if steps > n_latents and not at_repeat:
        raise ForeignError(
            f"{told.where}: max_iterations is {steps}; with {n_latents} latents at most {n_latents} steps are held"
        )
    config = MatchingPursuit.Config(
        **_settings(told, scaling),
        k=min(steps, n_latents),
        positive=True,
        stop_at_repeat=at_repeat,
        stop_norm=max(0.0, told.number("residual_threshold", default=1e-2)),
    )
    notes = (f"at most {n_latents} of {steps} steps are taken",) if steps > n_latents else ()
    return Made(_assembled(config, state, scaling, where), notes)


def _thresholds(tensors: Mapping[str, Any], n_latents: int, *, where: str) -> Tensor:
    if "log_threshold" in tensors and "threshold" not in tensors:
        return taken(tensors, {"log_threshold": (n_latents,)}, where=where)["log_threshold"].exp()
    return taken(tensors, {"threshold": (n_latents,)}, where=where)["threshold"]


def _finetuned(told: Told, tensors: Mapping[str, Any], state: dict[str, Tensor], *, where: str) -> list[str]:
    """Older SAEs can have a factor on each latent when it is decoded: it goes into W_dec, in place."""
    for name in ("scaling_factor", "finetuning_scaling_factor"):
        if name not in tensors:
            continue
        factor = taken(tensors, {name: (told.d_sae,)}, where=where)[name]
        if bool(torch.isclose(factor, torch.ones_like(factor)).all()):
            continue
        if not told.flag("finetuning_scaling_factor", default=False):
            raise ForeignError(f"{where}: {name} is not 1, but cfg.json does not say that the SAE was fine-tuned so")
        state["W_dec"] = state["W_dec"] * factor.unsqueeze(1)
        return ["the factor of each latent from fine-tuning was put into W_dec"]
    return []


def _unwhiten(state: dict[str, Tensor], whitening: Whitening | None) -> None:
    """With z = (x - m) M: W_enc <- M W_enc, W_dec <- W_dec M^-1, b_dec <- b_dec M^-1 + m; biases stay, as b_dec is taken off."""
    if whitening is None:
        return
    state["W_enc"] = (whitening.matrix @ state["W_enc"].double()).float()
    state["W_dec"] = (state["W_dec"].double() @ whitening.inverse).float()
    state["b_dec"] = (state["b_dec"].double() @ whitening.inverse + whitening.mean).float()


def _settings(told: Told, scaling: Scaling) -> dict[str, Any]:
    return {"d_in": told.d_in, "n_latents": told.d_sae, "normalise": scaling.normalise}


def _assembled(config: SAE.Config, state: Mapping[str, Tensor], scaling: Scaling, where: str) -> SAE:
    factor = {"input_factor": torch.tensor(scaling.factor)} if scaling.normalise.kind == "constant" else {}
    return assembled(config, {**{name: value.contiguous() for name, value in state.items()}, **factor}, where=where)
