"""SAELens: a folder with cfg.json and sae_weights.safetensors, of version 6 or older; or a folder of such folders.

    f = act((x - a b_dec) W_enc + b_enc),  x_hat = f W_dec + b_dec        a: apply_b_dec_to_input

Every architecture of sae-lens 6.54.12 is read (`_saelens_reading`), finished or from the middle of a run, with what it does to
activations before the encoder (`_saelens_scaling`). Beside the weights may lie sparsity.safetensors (log10 of how often each
latent fires; kept as a sum), activation_scaler.json and activation_whitening.safetensors (checkpoints of a run).

Source: github.com/decoderesearch/SAELens, sae-lens 6.54.12.
Letters: D model width, F latents.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from monoseme.core.errors import ConfigError, ForeignError
from monoseme.core.files import write_json
from monoseme.interchange._assembled import taken
from monoseme.interchange._base import ForeignSae, SaeFormat, WholeSae
from monoseme.interchange._places import with_site
from monoseme.interchange._saelens_config import CONFIG, SPARSITY, WEIGHTS, Told, facts_of, read_told, site_of
from monoseme.interchange._saelens_reading import sae_of
from monoseme.interchange._saelens_scaling import scaling_of, stretch
from monoseme.interchange._saelens_writing import metadata, scaled, written
from monoseme.saes.mlsae import MLSAE
from monoseme.saes.tfa import TFA
from monoseme.tensors.foreign_file import load_table
from monoseme.tensors.saving import save_tensors

_DEPTHS = ("", "*/", "*/*/", "*/*/*/")
"""How deep SAEs lie in the folder that is named: a hub repository has them at `layer_3/width_16k/l0_71`."""


class SAELens(SaeFormat):
    """See the module's docstring."""

    looks_for = f"{CONFIG} with {WEIGHTS}, or a folder of such folders"

    @dataclass(frozen=True, kw_only=True)
    class Config(SaeFormat.Config):
        """What the files may not hold."""

        norm_scaling_factor: float | None = None
        """Factor on activations of an SAE that says expected_average_only_in. None: as activation_scaler.json says."""
        encoder_scale: float | None = None
        """Factor before the ReLU of a temporal SAE. None: SAELens', 1 / (4 D); another gives codes of another size."""

        def __post_init__(self) -> None:
            if self.encoder_scale is not None and not 0 < self.encoder_scale < 1e6:
                raise ConfigError(f"encoder_scale is {self.encoder_scale}; it must be positive")

    @dataclass(frozen=True, kw_only=True)
    class WriteConfig(SaeFormat.WriteConfig):
        """Of an SAE of several places, which one is written."""

        site: str | None = None
        """The place whose SAE is written, of those of an mlsae (resid_post.3). None: the SAE has one."""

    config: Config

    def recognises(self, path: Path) -> bool:
        """By the names of the two files."""
        return bool(_folders(path))

    def read(self, path: Path) -> Sequence[ForeignSae]:
        """One SAE for each folder, named by its place below `path`."""
        folders = _folders(path)
        if not folders:
            raise ForeignError(f"{path} holds no {CONFIG} with {WEIGHTS}")
        return [self._read(folder, _name(folder, path)) for folder in folders]

    def part(self, whole: WholeSae, config: SaeFormat.WriteConfig) -> WholeSae:
        """Of an mlsae, the SAE at the place that is named."""
        asked = config.site if isinstance(config, self.WriteConfig) else None
        if asked is None:
            return whole
        places = [str(site) for site in whole.sites]
        if not isinstance(whole.sae, MLSAE) or asked not in places:
            raise ConfigError(f"site is {asked}: it names one of the places of an mlsae, and this SAE has {', '.join(places)}")
        number = places.index(asked)
        return replace(whole, sae=whole.sae.at(number).export(), sites=(whole.sites[number],))

    def reading(self, whole: WholeSae) -> Config:
        """With the factor before the ReLU of a tfa, which SAELens does not keep."""
        scale = whole.sae.config.encoder_scale if isinstance(whole.sae, TFA) else None
        return self.Config(site=",".join(map(str, whole.sites)), encoder_scale=scale)

    def write(self, whole: WholeSae, folder: Path, config: SaeFormat.WriteConfig) -> tuple[str, ...]:
        """`cfg.json` and `sae_weights.safetensors`."""
        made = written(whole.sae)
        normalise, differs = scaled(whole.sae)
        told, missing = metadata(whole, made)
        is_head = len(whole.sites) == 1 and whole.sites[0].kind == "head_out"
        content: dict[str, Any] = {
            "architecture": made.architecture,
            "d_in": whole.sae.d_in,
            "d_sae": whole.sae.n_latents,
            "dtype": config.dtype,
            "device": "cpu",
            "apply_b_dec_to_input": True,
            "normalize_activations": normalise,
            "reshape_activations": "hook_z" if is_head else "none",
            **made.settings,
            "metadata": told,
        }
        dtype = getattr(torch, config.dtype)
        save_tensors({name: value.to(dtype) for name, value in made.tensors.items()}, folder / WEIGHTS)
        write_json(folder / CONFIG, content)
        rounded = (f"numbers are rounded to {config.dtype}",) if config.dtype != "float32" else ()
        return (*made.lost, *differs, *missing, *rounded)

    def _read(self, folder: Path, name: str) -> ForeignSae:
        told = read_told(folder / CONFIG)
        scaling = scaling_of(told, asked=self.config.norm_scaling_factor)
        asked = self.config.encoder_scale if told.architecture == "temporal" else None
        made = sae_of(told, load_table(folder / WEIGHTS), scaling=scaling, encoder_scale=asked, where=str(folder / WEIGHTS))
        site, unknown = site_of(told)
        notes = [*scaling.notes, *made.notes, *([] if self.config.site else unknown), *_precision(told)]
        made.sae.config = with_site(made.sae.config, self.config.site, site)
        factor = scaling.factor if scaling.normalise.kind == "constant" else 1.0
        return ForeignSae(
            name=name,
            sae=made.sae,
            model=told.model,
            facts={**facts_of(told), **_firing(folder / SPARSITY, told)},
            notes=tuple(notes),
            code_factor=factor if asked is None else factor / stretch(told.d_in, asked),
        )


def _folders(path: Path) -> list[Path]:
    """The folders that hold an SAE: `path`, that of a file of it, or those nearest below."""
    if path.is_file():
        return _folders(path.parent) if path.name in (CONFIG, WEIGHTS) else []
    for depth in _DEPTHS:
        if found := sorted(at.parent for at in path.glob(f"{depth}{CONFIG}") if at.with_name(WEIGHTS).is_file()):
            return found
    return []


def _name(folder: Path, path: Path) -> str:
    """Its place below the folder that was named, else its own name."""
    below = folder.relative_to(path).parts if path.is_dir() else ()
    text = "_".join(below) if below else folder.resolve().name
    return re.sub(r"[^\w.-]", "_", text, flags=re.ASCII)[:200] or "sae"


def _precision(told: Told) -> list[str]:
    dtype = (told.text("dtype") or "float32").removeprefix("torch.")
    return [f"SAELens computes it in {dtype}, here it is in float32"] if dtype != "float32" else []


def _firing(file: Path, told: Told) -> dict[str, Any]:
    """Of log10(frequency + 1e-10) of each latent: latents active per token, and how many never are."""
    if not file.is_file():
        return {}
    frequency = 10 ** taken(load_table(file), {"sparsity": (told.d_sae,)}, where=str(file))["sparsity"].double()
    return {"l0_in_training": round(float(frequency.sum()), 3), "never_active_in_training": int((frequency < 2e-10).sum())}
