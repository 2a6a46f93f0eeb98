"""Llamascopium, once Language-Model-SAEs: `config.json` with `sae_weights.safetensors` or `.pt`; SAEs, transcoders, crosscoders.

    W_E [D, F]    b_E [F]    W_D [F, D]    b_D [D]    activation_function.log_jumprelu_threshold [F]

    pre = (s x) W_E + b_E,   f = pre g(pre n),   t y_hat = f W_D + b_D

with n_i = ||W_D,i|| where `sparsity_include_decoder_norm` is set, else 1; g is 1 where pre n is positive (relu), above
exp(log_jumprelu_threshold) (jumprelu), or among the `top_k` largest of its row (topk); hook_point_in other than hook_point_out is
a transcoder. `norm_activation` says s: dataset-wise, sqrt(D) over the mean norm that is kept in the file, likewise t for the
output; token-wise, sqrt(D) / ||x||; batch-wise, by the mean of whatever batch comes, which no SAE for single tokens can be: it
needs a norm; inference, 1: s was folded into the weights. That folding leaves thresholds as they were, so that other latents fire
than in training; such a file is read as it computes, and mended with a setting. What is read unfolded is folded here with its
thresholds.

A crosscoder has W_E [H, D, F], b_E [H, F], W_D [H, F, D], b_D [H, D] and gates by the norm of each head: one code for all heads
is the same with relu, and with jumprelu where a latent's norms are alike; anything else is refused.

Source: `models/sae.py`, `models/crosscoder.py`, `models/sparse_dictionary.py` of llamascopium 2.0.0b34.
Letters: D model width, F latents, H heads (sites).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

from monoseme.core.errors import ConfigError, ForeignError
from monoseme.core.foreign import as_text
from monoseme.interchange._assembled import with_norms_folded
from monoseme.interchange._base import ForeignSae, SaeFormat
from monoseme.interchange._llamascopium_crosscoder import crosscoder
from monoseme.interchange._openmoss_files import (
    count,
    encoder_of,
    flag,
    folder_of,
    has_settings,
    mean_norm,
    name_of,
    opened,
    thresholds_in,
)
from monoseme.interchange._plain_encoders import NO_SCALE, Place, PlainEncoder, sae_of, transcoder_of
from monoseme.interchange._scaled_sides import Gate, Scales, alike, row_norms, scale_of, unscaled
from monoseme.models.hook_names import hook_site
from monoseme.saes import SAE, NormaliseConfig

_CONFIG = "config.json"
_NORMS = ("token-wise", "batch-wise", "dataset-wise", "inference")


class Llamascopium(SaeFormat):
    """See the module's docstring."""

    looks_for = "config.json with sae_type and norm_activation, and sae_weights.safetensors or .pt"
    writes = False

    @dataclass(frozen=True, kw_only=True)
    class Config(SaeFormat.Config):
        """What files say wrongly or not at all."""

        activation: Literal["topk"] | None = None
        """topk: an SAE of batchtopk, whose files keep no threshold, is used with top_k latents per token. None: as files say."""
        mean_norm: float | None = None
        """Average norm of the activations, from which their scale comes. None: as the files say."""
        mend_thresholds: bool = False
        """Of a file that was folded for inference: scale thresholds as its activations were, which its tool leaves out."""

    config: Config

    def recognises(self, path: Path) -> bool:
        """By what config.json says."""
        return has_settings(folder_of(path), _CONFIG, {"sae_type", "norm_activation"})

    def read(self, path: Path) -> Sequence[ForeignSae]:
        """One SAE."""
        folder, told, table, where = opened(path, _CONFIG)
        kind = told.get("sae_type")
        if told.get("norm_activation") not in _NORMS:
            raise ForeignError(f"{folder / _CONFIG}: norm_activation is {str(told.get('norm_activation'))[:60]!r}")
        if kind == "crosscoder":
            return [crosscoder(told, table, name=name_of(folder), asked=self.config.site, where=where)]
        if kind != "sae":
            raise ForeignError(f"{folder / _CONFIG}: sae_type is {str(kind)[:60]!r}; sae and crosscoder are read")
        return [self._sae(told, table, name=name_of(folder), where=where)]

    def _sae(self, told: dict[str, Any], table: dict[str, Any], *, name: str, where: str) -> ForeignSae:
        plain = encoder_of(told, table, where=where)
        hooks = [as_text(told.get(f"hook_point_{side}"), where=f"{where}: hook_point_{side}") for side in ("in", "out")]
        transcodes = hooks[0] != hooks[1]
        scaled = self._scaling(told, table, hooks, d_in=plain.W_enc.shape[0], where=where)
        folded = self._folded(told, table, plain, scaled, where=where)
        sites = [hook_site(hook) for hook in (hooks if transcodes else hooks[:1])]
        known = ",".join(map(str, sites)) if all(sites) else None
        place = Place(self.config.site, known)
        activation, k = folded.activation, count(told, "top_k", where=where) if folded.activation == "topk" else None
        if transcodes and scaled.normalise is not NO_SCALE:
            raise ForeignError(f"{where}: a transcoder that scales each vector by itself; no architecture here does")
        sae: SAE = (
            transcoder_of(folded.plain, activation, k=k, place=place, where=where)
            if transcodes
            else sae_of(folded.plain, activation, k=k, normalise=scaled.normalise, place=place, where=where)
        )
        facts = {"hook_point_in": hooks[0], "hook_point_out": hooks[1]}
        return ForeignSae(name=name, sae=sae, facts=facts, notes=(*scaled.notes, *folded.notes), code_factor=folded.code_factor)

    def _scaling(self, told: dict[str, Any], table: dict[str, Any], hooks: Sequence[str], *, d_in: int, where: str) -> "_Scaled":
        kind = told["norm_activation"]
        if kind == "token-wise":
            return _Scaled(Scales(), NormaliseConfig(kind="vector_norm"), ())
        if kind == "inference":
            return _Scaled(Scales(), NO_SCALE, ())
        norms = [
            self.config.mean_norm or (mean_norm(table, hook, where=where) if kind == "dataset-wise" else None) for hook in hooks
        ]
        if norms[0] is None or norms[1] is None:
            raise ConfigError(
                f"{where}: activations are scaled by their average norm ({kind}), which the files do not hold.\n"
                "  Give it:  --mean_norm 17.1"
            )
        s, t = (scale_of(norm, d_in, where=where) for norm in (norms[0], norms[1]))
        note = f"activations were scaled by {s:g} and {t:g}, which was folded into the weights: codes are in raw activations"
        return _Scaled(Scales(s, t), NO_SCALE, (note,))

    def _folded(
        self, told: dict[str, Any], table: dict[str, Any], plain: PlainEncoder, scaled: "_Scaled", *, where: str
    ) -> "_Folded":
        """The activation, and weights on raw activations."""
        by_norms = flag(told, "sparsity_include_decoder_norm", default=True, where=where)
        act = self.config.activation or str(told.get("act_fn", "relu")).lower()
        gate, notes, s = Gate(by_norms), (), scaled.scales.s
        if act == "relu":
            return _Folded("relu", unscaled(plain, scaled.scales, limits=None, gate=gate), (), s)
        if act == "jumprelu":
            limits = thresholds_in(table, len(plain.b_enc), where=where)
            if limits is None:
                raise ForeignError(f"{where}: act_fn is jumprelu, but there is no log_jumprelu_threshold")
            if told["norm_activation"] == "inference":
                limits, notes = self._of_inference(told, table, limits, by_norms=by_norms, d_in=len(plain.b_dec), where=where)
            return _Folded("threshold", unscaled(plain, scaled.scales, limits=limits, gate=gate), notes, s)
        if act == "topk":
            made = unscaled(plain, scaled.scales, limits=None, gate=gate)
            if by_norms and not alike(row_norms(made.W_dec)):
                W_enc, b_enc, W_dec, _ = with_norms_folded(made.W_enc, made.b_enc, made.W_dec)
                made = made._replace(W_enc=W_enc, b_enc=b_enc, W_dec=W_dec)
                notes = ("latents are chosen by code times the norm of their decoder row: norms were folded, codes are products",)
            return _Folded("topk", made, notes, s)
        if act == "batchtopk":
            raise ConfigError(
                f"{where}: batchtopk chooses over a batch, and its files keep no threshold for single tokens.\n"
                "  To keep top_k latents of each token:  --activation topk"
            )
        raise ForeignError(f"{where}: act_fn is {act[:60]!r}; relu, jumprelu, topk and batchtopk are known")

    def _of_inference(
        self, told: dict[str, Any], table: dict[str, Any], limits: Any, *, by_norms: bool, d_in: int, where: str
    ) -> "_Limits":
        """Thresholds of a file that was folded: as they are, or mended."""
        if not self.config.mend_thresholds:
            note = (
                "weights were folded for inference, thresholds were not: it fires as its tool lets it, not as in training "
                "(--mend_thresholds scales them)"
            )
            return _Limits(limits, (note,))
        hook = as_text(told.get("hook_point_out" if by_norms else "hook_point_in"), where=where)
        norm = self.config.mean_norm or mean_norm(table, hook, where=where)
        if norm is None:
            raise ConfigError(f"{where} does not hold the average norm of activations. Give it:  --mean_norm 17.1")
        scale = scale_of(norm, d_in, where=where)
        note = f"thresholds were divided by {scale:g}, as folding the scale of activations should have"
        return _Limits(limits / scale, (note,))


class _Limits(NamedTuple):
    """Thresholds of latents."""

    thresholds: Any
    """[F]."""
    notes: tuple[str, ...]


class _Scaled(NamedTuple):
    """How activations are scaled."""

    scales: Scales
    normalise: NormaliseConfig
    notes: tuple[str, ...]


class _Folded(NamedTuple):
    """An SAE on raw activations (or on vectors of one norm)."""

    activation: Literal["relu", "topk", "threshold"]
    plain: PlainEncoder
    notes: tuple[str, ...]
    code_factor: float
