"""Llama Scope (OpenMOSS): `hyperparams.json` with `checkpoints/final.safetensors`; JumpReLU with one threshold.

    encoder.weight [F, D]    encoder.bias [F]    decoder.weight [D, F]    decoder.bias [D]

    pre = (s x) encoder.weight^T + encoder.bias,   s (and t of the output) = sqrt(D) / dataset_average_activation_norm
    f = pre where pre n > threshold,   t x_hat = f decoder.weight^T + decoder.bias

with n_i the norm of latent i's column of decoder.weight where `sparsity_include_decoder_norm` is set, else 1. The published
`jump_relu_threshold` is one for weights with s folded in: in the space of s x it is s times as large, which is how SAELens reads
these files too. Later releases keep a threshold for each latent in `log_jumprelu_threshold`; it is one in the space of s x. Where
`apply_decoder_bias_to_pre_encoder` is set, the encoder reads s x - decoder.bias.

Source: He et al. 2024, arXiv:2410.20526; `fnlp/Llama3_1-8B-Base-LXR-8x` and its relatives; SAELens 6, its loader of them.
Letters: D model width, F latents.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch

from monoseme.core.errors import ConfigError, ForeignError
from monoseme.core.foreign import as_number, as_object, as_text
from monoseme.interchange._assembled import plain_bias
from monoseme.interchange._base import ForeignSae, SaeFormat
from monoseme.interchange._openmoss_files import (
    encoder_of,
    flag,
    folder_of,
    has_settings,
    mean_norm,
    name_of,
    opened,
    thresholds_in,
)
from monoseme.interchange._plain_encoders import Place, sae_of
from monoseme.interchange._scaled_sides import Gate, Scales, scale_of, unscaled
from monoseme.models.hook_names import hook_site
from monoseme.tensors.shapes import Tensor

_TOLD = "hyperparams.json"
_MODEL = "meta-llama/Llama-3.1-8B"


class _Limits(NamedTuple):
    """Thresholds."""

    thresholds: Tensor | None
    """[F]; None with relu."""
    space: Literal["raw", "scaled"]
    """Of which activations."""


class LlamaScope(SaeFormat):
    """See the module's docstring."""

    looks_for = "hyperparams.json with checkpoints/final.safetensors"
    writes = False

    @dataclass(frozen=True, kw_only=True)
    class Config(SaeFormat.Config):
        """In which space the thresholds are."""

        threshold_space: Literal["raw", "scaled"] | None = None
        """raw: they are for weights with the scale of activations folded in. scaled: for activations times s. None: raw for the
        one threshold of hyperparams.json, scaled for those of the weights' file."""

    config: Config

    def recognises(self, path: Path) -> bool:
        """By the two names and what the JSON says."""
        return has_settings(folder_of(path), _TOLD, {"d_model", "hook_point_in"})

    def read(self, path: Path) -> Sequence[ForeignSae]:
        """One SAE."""
        folder, told, table, where = opened(path, _TOLD)
        plain = encoder_of(told, table, where=where)
        if flag(told, "apply_decoder_bias_to_pre_encoder", default=False, where=where):
            plain = plain._replace(b_enc=plain_bias(plain.b_enc, plain.W_enc, plain.b_dec))
        hook = as_text(told.get("hook_point_in"), where=f"{folder / _TOLD}: hook_point_in")
        if told.get("hook_point_out", hook) != hook:
            raise ForeignError(f"{folder / _TOLD}: a transcoder, which no published Llama Scope is; its rule is not known")
        scales = _scales(told, table, hook, d_in=plain.W_enc.shape[0], where=str(folder / _TOLD))
        limits, space = self._limits(told, table, len(plain.b_enc), where=where)
        gate = Gate(flag(told, "sparsity_include_decoder_norm", default=True, where=where), space)
        made = unscaled(plain, scales, limits=limits, gate=gate)
        site = hook_site(hook)
        place = Place(self.config.site, None if site is None else str(site))
        sae = sae_of(made, "relu" if limits is None else "threshold", place=place, where=where)
        named = "Llama3_1-8B" in str(folder.absolute())
        note = f"activations were scaled by {scales.s:g}, which was folded into the weights: codes are in raw activations"
        notes = (note, *(() if limits is None else (f"thresholds are taken to be those of {space} activations",)))
        return [
            ForeignSae(
                name=name_of(folder),
                sae=sae,
                model=_MODEL if named else None,
                notes=notes,
                code_factor=scales.s,
                facts={"hook": hook},
            )
        ]

    def _limits(self, told: dict[str, Any], table: dict[str, Any], n_latents: int, *, where: str) -> _Limits:
        act = str(told.get("act_fn", "jumprelu")).lower()
        if act == "relu":
            return _Limits(None, "raw")
        if act != "jumprelu":
            raise ForeignError(f"{where}: act_fn is {act[:60]!r}; relu and jumprelu are read")
        own = thresholds_in(table, n_latents, where=where)
        if own is not None:
            return _Limits(own, self.config.threshold_space or "scaled")
        one = as_number(told.get("jump_relu_threshold"), where=f"{where}: jump_relu_threshold of {_TOLD}")
        return _Limits(torch.full((n_latents,), one), self.config.threshold_space or "raw")


def _scales(told: dict[str, Any], table: dict[str, Any], hook: str, *, d_in: int, where: str) -> Scales:
    if told.get("norm_activation", "dataset-wise") != "dataset-wise":
        kind = str(told["norm_activation"])[:60]
        raise ForeignError(f"{where}: norm_activation is {kind!r}; published Llama Scope SAEs are scaled dataset-wise")
    given = told.get("dataset_average_activation_norm")
    if given is None:
        found = mean_norm(table, hook, where=where)
        if found is None:
            raise ConfigError(f"{where} lacks dataset_average_activation_norm, the average norm of activations: write it there")
        return Scales(*(scale_of(found, d_in, where=where),) * 2)
    norms = as_object(given, where=f"{where}: dataset_average_activation_norm")
    sides = [as_number(norms.get(side, norms.get("in")), where=f"{where}: average norm of {side}") for side in ("in", "out")]
    return Scales(*(scale_of(norm, d_in, where=where) for norm in sides))
