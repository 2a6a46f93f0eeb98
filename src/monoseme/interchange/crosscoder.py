"""Crosscoders of two tools: the replication of Kissane et al. (in), and crosscoder_learning (in and out).

Files are in `_crosscoder_layouts`, formulas and what becomes of them in `_crosscoder_algebra`.

Kissane's weights work on activations that were scaled for each model to a mean norm of sqrt(D); the files do not say by what.
The published crosscoder (gemma-2-2b, before block 14) has published factors, which are assumed aloud; for others they must be
given. Its site is in the file; which models the two are is not: they are called `base` and `chat`.

crosscoder_learning says neither sites nor models: `--site resid_post.13@base,resid_post.13@chat`.

Source: github.com/ckkissane/crosscoder-model-diff-replication, `crosscoder.py` and `analysis.py` (factors);
github.com/science-of-finetuning/crosscoder_learning, `dictionary.py`; Minder et al. 2025, arXiv:2504.02922.
Letters: L sites, D model width, F latents.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from monoseme.core.errors import ConfigError, ForeignError
from monoseme.core.files import write_json
from monoseme.core.foreign import as_latent, as_list, as_number, as_text
from monoseme.interchange._assembled import matrix, one_tensor, taken
from monoseme.interchange._base import ForeignSae, SaeFormat, WholeSae
from monoseme.interchange._crosscoder_algebra import (
    Parts,
    Selection,
    crosscoder_of,
    parts_of,
    site_scales,
    weighted_threshold,
)
from monoseme.interchange._crosscoder_layouts import (
    LEARNING_CONFIG,
    LEARNING_WEIGHTS,
    NORMALIZATIONS,
    Layout,
    kissane_sites,
    layouts,
    load,
)
from monoseme.interchange._places import with_site
from monoseme.saes.crosscoder import Crosscoder
from monoseme.tensors.shapes import Float, Tensor

_PUBLISHED = {"model_name": "gemma-2-2b", "hook_point": "blocks.14.hook_resid_pre", "d_in": 2304, "dict_size": 16_384}
_PUBLISHED_SCALES = (0.2758961493232058, 0.24422852496546169)


class CrosscoderFormat(SaeFormat):
    """See the module's docstring."""

    looks_for = "cfg.json with cc_weights.pt, 0_cfg.json with 0.pt, or config.json (num_layers, dict_size) with model.safetensors"

    @dataclass(frozen=True, kw_only=True)
    class Config(SaeFormat.Config):
        """What the files may not hold."""

        scales: tuple[float, ...] | None = None
        """What activations of each site are multiplied by before they are read (positive), in the order of the sites; only for
        the layout with cfg.json, which does not hold it. 1 1 where it was folded into the weights. None: as published."""

    @dataclass(frozen=True, kw_only=True)
    class WriteConfig(SaeFormat.WriteConfig):
        """How it is written: as crosscoder_learning does."""

    config: Config

    def recognises(self, path: Path) -> bool:
        """By names and by keys of the config."""
        return bool(layouts(path))

    def read(self, path: Path) -> Sequence[ForeignSae]:
        """One for each version."""
        found = layouts(path)
        if not found:
            raise ForeignError(f"{path} holds no crosscoder: {self.looks_for}")
        return [self._kissane(one) if one.kind == "kissane" else self._learning(one) for one in found]

    def write(self, whole: WholeSae, folder: Path, config: SaeFormat.WriteConfig) -> tuple[str, ...]:
        """`config.json` and `model.safetensors` of crosscoder_learning."""
        sae = whole.sae
        if not isinstance(sae, Crosscoder) or sae.config.codes not in ("relu", "batchtopk"):
            named = sae.config.plugin_name + (f" with codes {sae.config.codes}" if isinstance(sae, Crosscoder) else "")
            raise ConfigError(
                f"crosscoder_learning holds crosscoders with codes relu or batchtopk, not {named}.\n  Formats that hold it: plain"
            )
        parts, factor = parts_of(sae)
        kind = getattr(torch, config.dtype)
        table: dict[str, Tensor] = {
            name: value.to(kind)
            for name, value in {
                "encoder.weight": parts.E,
                "encoder.bias": parts.b,
                "decoder.weight": parts.W,
                "decoder.bias": parts.d,
            }.items()
        }
        table["code_normalization_id"] = torch.tensor(1)
        settings = {"activation_dim": sae.d_in, "dict_size": sae.n_latents, "num_layers": len(parts.g)}
        settings |= {"code_normalization": NORMALIZATIONS[0]}
        if sae.config.codes == "batchtopk":
            table |= {"k": torch.tensor(sae.config.k, dtype=torch.int32), "threshold": sae.threshold.detach() * factor}
            settings["k"] = sae.config.k
        if not bool((parts.g == 1).all()):
            # what the tool makes g of: 1 / sqrt(summed variances + 1e-8)
            std = ((parts.g.double() ** -2 - 1e-8).clamp_min(0) / sae.d_in).sqrt().float().unsqueeze(1).expand_as(parts.m)
            scales = {"activation_global_scale": parts.g, "target_rms": torch.tensor(1.0)}
            table |= {"activation_mean": parts.m, "activation_std": std, **scales}
        save_file({name: value.detach().cpu().contiguous() for name, value in table.items()}, folder / LEARNING_WEIGHTS)
        write_json(folder / LEARNING_CONFIG, settings)
        lost = "the format does not hold the sites: give them to whoever reads it"
        return (lost, *([f"numbers are rounded to {config.dtype}"] if config.dtype != "float32" else []))

    def _kissane(self, layout: Layout) -> ForeignSae:
        config, tensors = load(layout)
        where = str(layout.weights)
        n_sites, d_in, n_latents = matrix(tensors, "W_enc", n_axes=3, where=where).shape
        shapes = {
            "W_enc": (n_sites, d_in, n_latents),
            "b_enc": (n_latents,),
            "W_dec": (n_latents, n_sites, d_in),
            "b_dec": (n_sites, d_in),
        }
        found = taken(tensors, shapes, where=where)
        scales, notes = self._scales(config, n_sites, where=where)
        decoder = found["W_dec"].permute(1, 0, 2)
        parts = Parts(found["W_enc"], found["b_enc"], decoder, found["b_dec"], scales, scales, torch.zeros(n_sites, d_in))
        known = kissane_sites(config, where=str(layout.config)) if n_sites == 2 else None
        if known and not self.config.site:
            notes.append("which models its two sites are of is not in the files: they are called base and chat, in this order")
        model = config.get("model_name")
        name = None if model is None else as_text(model, where=f"{layout.config}: model_name")
        return self._made(layout, config, (parts, Selection("relu")), known, notes=notes, model=name)

    def _learning(self, layout: Layout) -> ForeignSae:
        if self.config.scales is not None:
            raise ConfigError(f"--scales is for crosscoders with a cfg.json; {layout.weights} holds its own: leave it out")
        config, tensors = load(layout)
        where = str(layout.weights)
        n_sites, n_latents, d_in = matrix(tensors, "decoder.weight", n_axes=3, where=where).shape
        read = _encoder_layers(config, n_sites, where=str(layout.config))
        shapes = {
            "encoder.weight": (len(read), d_in, n_latents),
            "encoder.bias": (n_latents,),
            "decoder.weight": (n_sites, n_latents, d_in),
            "decoder.bias": (n_sites, d_in),
        }
        found = taken(tensors, shapes, where=where)
        E = torch.zeros(n_sites, d_in, n_latents)
        E[read] = found["encoder.weight"]
        ones, centre = torch.ones(n_sites), torch.zeros(n_sites, d_in)
        g, h, m = site_scales(tensors, (n_sites, d_in), where=where) or (ones, ones, centre)
        selection, notes = _selection(config, tensors, found["decoder.weight"], where=where)
        parts = Parts(E, found["encoder.bias"], found["decoder.weight"], found["decoder.bias"], g, h, m)
        return self._made(layout, config, (parts, selection), None, notes=notes, model=None)

    def _made(
        self,
        layout: Layout,
        config: Mapping[str, Any],
        what: tuple[Parts, Selection],
        known: str | None,
        *,
        notes: Sequence[str],
        model: str | None,
    ) -> ForeignSae:
        n_sites = len(what[0].g)
        made = crosscoder_of(*what, where=str(layout.weights))
        asked = self.config.site
        if asked and len(asked.split(",")) != n_sites:
            raise ConfigError(f"{layout.weights} has {n_sites} sites, but --site names {len(asked.split(','))}: {asked}")
        said = [*notes]
        if not asked and known is None:
            example = ",".join(f"resid_post.{layer}" for layer in range(n_sites))
            two = "resid_post.13@base,resid_post.13@chat, or "
            said.append(f"the files do not name its {n_sites} sites: give them, --site {two if n_sites == 2 else ''}{example}")
        made.sae.config = with_site(made.sae.config, asked, known)
        facts = {
            str(name): value for name, value in config.items() if value is None or isinstance(value, bool | str | int | float)
        }
        return ForeignSae(
            name=layout.name,
            sae=made.sae,
            model=model,
            facts={"layout": layout.kind, "settings": facts},
            notes=tuple(said),
            code_factor=made.code_factor,
        )

    def _scales(self, config: Mapping[str, Any], n_sites: int, *, where: str) -> tuple[Float[Tensor, " L"], list[str]]:
        """What activations of each site are multiplied by. Raises ConfigError."""
        scales, notes = self.config.scales, list[str]()
        if scales is None and all(config.get(name) == value for name, value in _PUBLISHED.items()) and n_sites == 2:
            scales = _PUBLISHED_SCALES
            notes.append(
                f"its weights work on activations times {scales[0]:.6g} (base) and {scales[1]:.6g} (chat): not in the files, "
                "those of the published crosscoder are assumed"
            )
        if scales is None:
            raise ConfigError(
                f"{where} works on activations that were scaled for each model, and does not say by what (the tool's "
                f"estimated_scaling_factor, sqrt(D) / mean norm).\n  Give it:  --scales {' '.join(['0.28'] * n_sites)}\n"
                f"  If it is in the weights already:  --scales {' '.join('1' * n_sites)}"
            )
        if len(scales) != n_sites or not all(0 < scale < float("inf") for scale in scales):
            raise ConfigError(f"--scales are {scales}; {where} needs {n_sites}, all positive")
        return torch.tensor(scales, dtype=torch.float32), notes


def _encoder_layers(config: Mapping[str, Any], n_sites: int, *, where: str) -> list[int]:
    """The sites that the encoder reads, all but for a crosscoder that was told otherwise. Raises ForeignError."""
    value = config.get("encoder_layers")
    read = [*range(n_sites)] if value is None else [as_latent(item, where=where) for item in as_list(value, where=where)]
    if not read or max(read) >= n_sites or len(set(read)) != len(read):
        raise ForeignError(
            f"{where}: encoder_layers are {read[:20]}; the decoder has {n_sites} sites, and those it reads are among them"
        )
    return read


def _selection(
    config: Mapping[str, Any], tensors: Mapping[str, Any], W: Float[Tensor, "L F D"], *, where: str
) -> tuple[Selection, list[str]]:
    """Which activations are kept, and what is to be said of it. Raises ForeignError."""
    if "threshold" not in tensors:
        return Selection("relu"), []
    normalization, notes = _normalization(config, tensors, where=where)
    if normalization == "DECOUPLED":
        raise ForeignError(f"{where} has codes for each site (code_normalization DECOUPLED), which no architecture here has")
    threshold = one_tensor(tensors, "threshold", (), where=where)
    k = tensors.get("k")
    k = as_latent(k.item() if isinstance(k, torch.Tensor) and k.numel() == 1 else config.get("k"), where=f"{where}: k")
    if not 1 <= k <= W.shape[1]:
        raise ForeignError(f"{where}: k is {k}, of {W.shape[1]:,} latents")
    alphas = [
        as_number(config.get(f"code_normalization_alpha_{name}", default), where=where) for name, default in _ALPHAS.items()
    ]
    if bool(threshold < 0):
        notes.append("its threshold was never set (-1): as in the tool, every positive activation is kept")
    if normalization != "CROSSCODER":
        notes.append(
            f"its threshold is on activations weighed by code_normalization {normalization}: it becomes one for each latent"
        )
    return weighted_threshold(threshold, W, normalization=normalization, alphas=(alphas[0], alphas[1]), k=k), notes


_ALPHAS = {"sae": 1.0, "cc": 0.1}
"""Of MIXED, as the tool has them where config.json does not say."""


def _normalization(config: Mapping[str, Any], tensors: Mapping[str, Any], *, where: str) -> tuple[str, list[str]]:
    number = tensors.get("code_normalization_id")
    if isinstance(number, torch.Tensor):
        place = number.item() if number.numel() == 1 else 0
        if isinstance(place, int) and 1 <= place <= len(NORMALIZATIONS):
            return NORMALIZATIONS[place - 1], []
        raise ForeignError(f"{where}: code_normalization_id is {place}; known are 1 to {len(NORMALIZATIONS)}")
    named = config.get("code_normalization")
    if named is None:
        return "CROSSCODER", ["code_normalization is not in the files: CROSSCODER, as the tool then assumes"]
    found = as_text(named, where=f"{where}: code_normalization").upper()
    if found not in NORMALIZATIONS:
        raise ForeignError(f"{where}: code_normalization is {found[:40]!r}; known are {', '.join(NORMALIZATIONS)}")
    return found, []
