"""MLSAE: one TopK dictionary for the residual stream of all layers, as its authors publish it, alone or with its model.

    config.json         plain: n_inputs, n_latents, k, dead_steps_threshold, dead_threshold, auxk, standardize
                        `-tfm`: the constructor's arguments, with model_name, layers, k, expansion_factor, ...
    model.safetensors   encoder.weight [F, D]   decoder.weight [D, F]   pre_encoder_bias [D]   [last_nonzero [F]]   float32
                        `-tfm`: these under `autoencoder.`, the language model under `transformer.model.`, lenses under `lens.`

    x~ = (x - mean) / (std + 1e-5)
    f = relu(topk((x~ - pre_encoder_bias) encoder.weight^T)),  x_hat = (f decoder.weight^T + pre_encoder_bias) std + mean

for each layer. The original multiplies by std where ours multiplies by std + 1e-5: codes are the same, and reconstructions differ
by 1e-5 of what is added to the mean (with a std of 1, by a hundred thousandth of it). The language model of a `-tfm` file is
mapped, never read; a lens as it is in these files (its inverse in the original is that of a diagonal) is not carried over.

A plain file says nothing of layers or the model: the name of its folder does, `mlsae-{model}-x{R}-k{k}[-lens][-tfm]` and, for one
layer, `sae-{model}-x64-k32-tfm-layers-{i}`; the output of every block is what these SAEs read.

Source: github.com/tim-lawson/mlsae (`model/autoencoder.py`, `model/transformer.py`), arXiv:2409.04185.
Letters: D model width, F latents.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from monoseme.core.errors import ConfigError, ForeignError
from monoseme.core.foreign import as_list, as_number, as_text, read_json_object
from monoseme.interchange._assembled import assembled, matrix, taken
from monoseme.interchange._base import ForeignSae, SaeFormat, WholeSae
from monoseme.interchange._mlsae_names import CONFIG, EPS, PREFIX, TENSORS, Named, full_model_name, layers_told, named_by
from monoseme.interchange._mlsae_writing import write_mlsae
from monoseme.interchange._places import with_site
from monoseme.models.site import Site
from monoseme.saes import NormaliseConfig
from monoseme.saes.mlsae import MLSAE
from monoseme.tensors.foreign_file import load_table
from monoseme.tensors.shapes import Tensor

_PLAIN_KEYS = frozenset({"n_inputs", "n_latents", "k"})


class Mlsae(SaeFormat):
    """See the module's docstring."""

    looks_for = "config.json (n_inputs, n_latents, k, or model_name, layers, k) with model.safetensors"

    @dataclass(frozen=True, kw_only=True)
    class Config(SaeFormat.Config):
        """What a plain file does not hold."""

        n_layers: int | None = None
        """Layers that it reads, resid_post.0 to the last (count). None: as the files or `site` say."""

    @dataclass(frozen=True, kw_only=True)
    class WriteConfig(SaeFormat.WriteConfig):
        """Alone, or with its model."""

        tfm: bool = False
        """Write the `-tfm` form, the language model's weights beside the SAE's; `model` is needed."""
        model: str | None = None
        """Folder of the language model, in transformers' form; only with tfm."""

        def __post_init__(self) -> None:
            if self.tfm and self.model is None:
                raise ConfigError("tfm writes the language model too, so it needs its folder.\n  Give it:  --model FOLDER")
            if self.model is not None and not self.tfm:
                raise ConfigError("model belongs to tfm: add --tfm, or leave --model out")

    config: Config

    def recognises(self, path: Path) -> bool:
        """By keys of config.json, which others name otherwise."""
        folder = _folder(path)
        try:
            return (folder / TENSORS).is_file() and _is_ours(read_json_object(folder / CONFIG))
        except ForeignError:
            return False

    def read(self, path: Path) -> Sequence[ForeignSae]:
        """One SAE, of all its layers."""
        folder = _folder(path)
        told, where = read_json_object(folder / CONFIG), str(folder / TENSORS)
        if not _is_ours(told):
            raise ForeignError(f"{folder / CONFIG} has neither n_inputs, n_latents and k nor model_name, layers and k")
        tensors = load_table(folder / TENSORS)
        _refuse_lenses(tensors, told, where=where)
        prefix = PREFIX if _is_tfm(told) else ""
        own = {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
        n_latents, d_in = matrix(own, "encoder.weight", n_axes=2, where=where).shape
        shapes = {"encoder.weight": (n_latents, d_in), "decoder.weight": (d_in, n_latents), "pre_encoder_bias": (d_in,)}
        found = taken(own, shapes, where=where)
        _check_sizes(told, d_in, n_latents, where=str(folder / CONFIG))
        if "last_nonzero" in own and own["last_nonzero"].is_floating_point():
            raise ForeignError(f"{where}: last_nonzero holds {own['last_nonzero'].dtype}, not whole numbers")
        named = named_by(folder.name)
        notes: list[str] = []
        sites = self._sites(told, named, path, notes)
        config = MLSAE.Config(d_in=d_in, n_latents=n_latents, n_sites=len(sites), **_settings(told, where=str(folder / CONFIG)))
        config = with_site(config, ",".join(map(str, sites)), None)
        if config.normalise.kind == "standardise":
            notes.append(
                "each vector's reconstruction is multiplied by its deviation + 1e-5, in the original by the deviation alone"
            )
        state = {
            "W_enc": found["encoder.weight"].t(),
            "W_dec": found["decoder.weight"].t().contiguous(),
            "b_dec": found["pre_encoder_bias"],
        }
        sae = assembled(config, state, where=where)
        model = as_text(told["model_name"], where=f"{folder / CONFIG}: model_name") if _is_tfm(told) else None
        name = folder.name if named is not None else path.stem
        return [ForeignSae(name=name, sae=sae, model=model or (named and full_model_name(named)), notes=tuple(notes))]

    def write(self, whole: WholeSae, folder: Path, config: SaeFormat.WriteConfig) -> tuple[str, ...]:
        """`config.json` and `model.safetensors`."""
        assert isinstance(config, Mlsae.WriteConfig)
        return write_mlsae(whole, folder, dtype=config.dtype, model=config.model)

    def _sites(self, told: Mapping[str, Any], named: Named | None, path: Path, notes: list[str]) -> tuple[Site, ...]:
        """The layers, as a setting, the files, or the name of the folder say. Raises ConfigError where nothing does."""
        if self.config.site is not None:
            sites = tuple(Site.parse(part.strip()) for part in self.config.site.split(","))
            if self.config.n_layers is not None and self.config.n_layers != len(sites):
                raise ConfigError(
                    f"n_layers is {self.config.n_layers}, but {len(sites)} sites are named: leave one of the two out"
                )
            return sites
        if self.config.n_layers is not None:
            if self.config.n_layers < 1:
                raise ConfigError(f"n_layers is {self.config.n_layers}; it must be at least 1")
            return tuple(Site("resid_post", layer) for layer in range(self.config.n_layers))
        layers = told.get("layers")
        if layers is not None:
            where = f"{_folder(path) / CONFIG}: layers"
            numbers = [as_number(layer, where=where) for layer in as_list(layers, where=where)]
            if not numbers or any(n != int(n) or not 0 <= n < 1000 for n in numbers) or len(set(numbers)) != len(numbers):
                raise ForeignError(f"{where} should be numbers of blocks, each once, not {layers!r:.80}")
            return tuple(Site("resid_post", int(layer)) for layer in numbers)
        guessed = None if named is None else layers_told(named)
        if guessed is None:
            raise ConfigError(
                f"{path} does not say which layers it reads.\n  Give them:  --n_layers 6   or   --site resid_post.0,resid_post.1"
            )
        notes.append(f"the layers are not in the files: {len(guessed)} by the name of the folder, {_folder(path).name}")
        return tuple(Site("resid_post", layer) for layer in guessed)


def _folder(path: Path) -> Path:
    return path.parent if path.name in (CONFIG, TENSORS) and not path.is_dir() else path


def _is_tfm(told: Mapping[str, Any]) -> bool:
    return "model_name" in told and "k" in told and ("layers" in told or "expansion_factor" in told)


def _is_ours(told: Mapping[str, Any]) -> bool:
    return set(told) >= _PLAIN_KEYS or _is_tfm(told)


def _check_sizes(told: Mapping[str, Any], d_in: int, n_latents: int, *, where: str) -> None:
    """Raises ForeignError where config.json tells of other sizes than the tensors have."""
    for name, size in (("n_inputs", d_in), ("n_latents", n_latents)):
        if name in told and told[name] != size:
            raise ForeignError(f"{where}: {name} is {told[name]!r:.40}, but encoder.weight is [{n_latents}, {d_in}]")


def _settings(told: Mapping[str, Any], *, where: str) -> dict[str, Any]:
    """k, normalisation and what training goes on with. Raises ForeignError."""

    def count(name: str) -> int:
        value = as_number(told.get(name), where=f"{where}: {name}")
        if value != int(value) or not 1 <= value < 2**31:
            raise ForeignError(f"{where}: {name} should be a count, not {value:g}")
        return int(value)

    standardize = told.get("standardize", True)
    if not isinstance(standardize, bool):
        raise ForeignError(f"{where}: standardize should be true or false, not {standardize!r:.40}")
    normalise = NormaliseConfig(kind="standardise", eps=EPS) if standardize else NormaliseConfig(kind="none")
    settings: dict[str, Any] = {"k": count("k"), "normalise": normalise}
    if told.get("auxk") is not None:
        settings["k_aux"] = count("auxk")
    if told.get("dead_threshold") is not None:
        settings["dead_threshold"] = as_number(told["dead_threshold"], where=f"{where}: dead_threshold")
    return settings


def _refuse_lenses(tensors: Mapping[str, Tensor], told: Mapping[str, Any], *, where: str) -> None:
    """Raises ConfigError for an SAE behind a tuned lens."""
    if told.get("tuned_lens") or told.get("lens") or any(name.startswith("lens.") for name in tensors):
        raise ConfigError(
            f"{where} was trained behind a tuned lens, and the original inverts the diagonal of a lens alone:\n"
            "  ours, which inverts all of it, would reconstruct otherwise. SAEs without -lens in their names are read."
        )
