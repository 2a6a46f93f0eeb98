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
from typing import Any, NamedTuple

import torch

from monoseme.core.errors import ConfigError, ForeignError
from monoseme.core.foreign import as_text
from monoseme.interchange._assembled import matrix, taken
from monoseme.interchange._base import ForeignSae, SaeFormat, WholeSae
from monoseme.interchange._crosscoder_algebra import Parts, Selection, SiteScales, crosscoder_of, site_scales
from monoseme.interchange._crosscoder_layouts import Layout, kissane_sites, layouts, load
from monoseme.interchange._crosscoder_selection import encoder_layers, selection_of
from monoseme.interchange._crosscoder_writing import write_learning
from monoseme.interchange._places import with_site
from monoseme.saes.crosscoder import Crosscoder
from monoseme.tensors.shapes import Float, Tensor

_PUBLISHED = {"model_name": "gemma-2-2b", "hook_point": "blocks.14.hook_resid_pre", "d_in": 2304, "dict_size": 16_384}
_PUBLISHED_SCALES = (0.2758961493232058, 0.24422852496546169)


class _Found(NamedTuple):
    """A crosscoder as its files have it."""

    parts: Parts
    selection: Selection
    notes: Sequence[str]
    model: str | None = None


class _Scales(NamedTuple):
    """What activations of each site are multiplied by."""

    scales: Float[Tensor, " L"]
    notes: tuple[str, ...]


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
        return write_learning(sae, folder, dtype=config.dtype)

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
        notes = [*notes]
        decoder = found["W_dec"].permute(1, 0, 2)
        parts = Parts(found["W_enc"], found["b_enc"], decoder, found["b_dec"], scales, scales, torch.zeros(n_sites, d_in))
        known = kissane_sites(config, where=str(layout.config)) if n_sites == 2 else None
        if known and not self.config.site:
            notes.append("which models its two sites are of is not in the files: they are called base and chat, in this order")
        model = config.get("model_name")
        name = None if model is None else as_text(model, where=f"{layout.config}: model_name")
        what = _Found(parts, Selection("relu"), notes, model=name)
        return self._made(layout, config, what, known)

    def _learning(self, layout: Layout) -> ForeignSae:
        if self.config.scales is not None:
            raise ConfigError(f"--scales is for crosscoders with a cfg.json; {layout.weights} holds its own: leave it out")
        config, tensors = load(layout)
        where = str(layout.weights)
        n_sites, n_latents, d_in = matrix(tensors, "decoder.weight", n_axes=3, where=where).shape
        read = encoder_layers(config, n_sites, where=str(layout.config))
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
        scales = site_scales(tensors, (n_sites, d_in), where=where) or SiteScales(ones, ones, centre)
        chosen = selection_of(config, tensors, found["decoder.weight"], where=where)
        parts = Parts(E, found["encoder.bias"], found["decoder.weight"], found["decoder.bias"], *scales)
        return self._made(layout, config, _Found(parts, chosen.selection, chosen.notes), None)

    def _made(self, layout: Layout, config: Mapping[str, Any], what: _Found, known: str | None) -> ForeignSae:
        n_sites = len(what.parts.g)
        made = crosscoder_of(what.parts, what.selection, where=str(layout.weights))
        asked = self.config.site
        if asked and len(asked.split(",")) != n_sites:
            raise ConfigError(f"{layout.weights} has {n_sites} sites, but --site names {len(asked.split(','))}: {asked}")
        said = [*what.notes]
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
            model=what.model,
            facts={"layout": layout.kind, "settings": facts},
            notes=tuple(said),
            code_factor=made.code_factor,
        )

    def _scales(self, config: Mapping[str, Any], n_sites: int, *, where: str) -> _Scales:
        """What activations of each site are multiplied by. Raises ConfigError."""
        scales, notes = self.config.scales, ()
        if scales is None and all(config.get(name) == value for name, value in _PUBLISHED.items()) and n_sites == 2:
            scales = _PUBLISHED_SCALES
            notes = (
                f"its weights work on activations times {scales[0]:.6g} (base) and {scales[1]:.6g} (chat): not in the files, "
                "those of the published crosscoder are assumed",
            )
        if scales is None:
            raise ConfigError(
                f"{where} works on activations that were scaled for each model, and does not say by what (the tool's "
                f"estimated_scaling_factor, sqrt(D) / mean norm).\n  Give it:  --scales {' '.join(['0.28'] * n_sites)}\n"
                f"  If it is in the weights already:  --scales {' '.join('1' * n_sites)}"
            )
        if len(scales) != n_sites or not all(0 < scale < float("inf") for scale in scales):
            raise ConfigError(f"--scales are {scales}; {where} needs {n_sites}, all positive")
        return _Scales(torch.tensor(scales, dtype=torch.float32), notes)
