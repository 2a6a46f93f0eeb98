"""Plain files: an SAE of any architecture as tensors and JSON that every language reads.

    sae.json            `format` "monoseme.plain", `version` 1, the architecture's formula in words, its settings, sizes, sites,
                        model, the unit of its codes, the shape of each tensor
    sae.safetensors     W_enc [D, F]   b_enc [F]   W_dec [F, D]   b_dec [D]   and what else it has: threshold [F], ...

x are raw activations, rows; `x W_enc` is a product of rows with columns. Names, shapes and settings are those of
`monoseme.saes`, so that what was written is read back to the bit. Four entries keep the books of training and may be left out of
a file that another program writes: `input_factor` (1), `input_variance` (1), `started` (false), `tokens_since_fired` (0).

Letters: D model width, F latents.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

import monoseme
from monoseme.core.config import to_dict
from monoseme.core.errors import ConfigError, ForeignError, MonosemeError
from monoseme.core.files import write_json
from monoseme.core.foreign import as_object, as_text, as_texts, read_json_object
from monoseme.interchange._assembled import assembled, one_tensor
from monoseme.interchange._base import ForeignSae, SaeFormat, WholeSae
from monoseme.interchange._places import with_site
from monoseme.saes import SAE, build, config_from_dict, config_to_dict
from monoseme.tensors.foreign_file import load_table
from monoseme.tensors.saving import save_tensors
from monoseme.tensors.shapes import Tensor

_TOLD, _TENSORS = "sae.json", "sae.safetensors"
_KIND, _VERSION = "monoseme.plain", 1
_BOOKS = frozenset({"input_factor", "input_variance", "started", "tokens_since_fired"})


class Plain(SaeFormat):
    """See the module's docstring."""

    looks_for = 'sae.json that says "format": "monoseme.plain", with sae.safetensors'

    def recognises(self, path: Path) -> bool:
        """By what sae.json says it is."""
        file = _folder(path) / _TOLD
        try:
            return file.is_file() and read_json_object(file).get("format") == _KIND
        except ForeignError:
            return False

    def read(self, path: Path) -> Sequence[ForeignSae]:
        """One SAE."""
        folder = _folder(path)
        file = folder / _TOLD
        told = read_json_object(file)
        said = (told.get("format"), told.get("version"))
        if said != (_KIND, _VERSION):
            raise ForeignError(f'{file} should say "format": "{_KIND}", "version": {_VERSION}, but says {str(said)[:80]}')
        tensors, where = load_table(folder / _TENSORS), str(folder / _TENSORS)
        config = _config(as_object(told.get("settings"), where=f"{file}: settings"), tensors, where=str(file))
        sae = assembled(config, _taken(config, tensors, where=where), where=where)
        sites = as_texts(told.get("sites") or [], where=f"{file}: sites")
        sae.config = with_site(config, self.config.site, ",".join(sites) or None)
        model = None if told.get("model") is None else as_text(told["model"], where=f"{file}: model")
        name = as_text(told.get("name", folder.name), where=f"{file}: name")
        facts = as_object(told.get("facts") or {}, where=f"{file}: facts")
        return [ForeignSae(name=name, sae=sae, model=model, facts={"facts": facts} if facts else {})]

    def write(self, whole: WholeSae, folder: Path, config: SaeFormat.WriteConfig) -> tuple[str, ...]:
        """`sae.json` and `sae.safetensors`."""
        sae, dtype = whole.sae, getattr(torch, config.dtype)
        # Numbers of the books stay as they are: a factor of 1 has a place in every type, a variance has not.
        tensors = {
            name: value.to(dtype) if value.is_floating_point() and name not in _BOOKS else value
            for name, value in sae.state_dict().items()
        }
        save_tensors(tensors, folder / _TENSORS)
        write_json(folder / _TOLD, _described(whole, tensors))
        return (f"numbers are rounded to {config.dtype}",) if config.dtype != "float32" else ()


def _folder(path: Path) -> Path:
    return path.parent if path.name in (_TOLD, _TENSORS) and not path.is_dir() else path


def _described(whole: WholeSae, tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    sae = whole.sae
    return {
        "format": _KIND,
        "version": _VERSION,
        "name": whole.name,
        "formula": (type(sae).__doc__ or "").strip().splitlines()[0],
        "settings": config_to_dict(sae.config),
        "sizes": {"d_in": sae.d_in, "d_out": sae.d_out, "n_latents": sae.n_latents},
        "sites": [str(site) for site in whole.sites],
        "model": whole.model,
        "unit": sae.unit,
        "normalise": to_dict(sae.config.normalise),
        "tensors": {name: {"shape": list(value.shape), "dtype": str(value.dtype)[6:]} for name, value in tensors.items()},
        "made_by": f"monoseme {monoseme.__version__}",
        "facts": dict(whole.facts),
    }


def _config(settings: Mapping[str, Any], tensors: Mapping[str, Tensor], *, where: str) -> SAE.Config:
    """The settings, none of whose counts is larger than the tensors are: nothing is made that the file does not fill.

    Raises ForeignError.
    """
    longest = max((max(value.shape, default=0) for value in tensors.values()), default=0)
    for name, value in settings.items():
        if (name.startswith("n_") or name == "d_in") and isinstance(value, int) and value > longest:
            raise ForeignError(f"{where}: {name} is {value:,}, but no tensor of the SAE is longer than {longest:,}")
    if settings.get("d_in") is None:
        raise ForeignError(f"{where} does not say how wide activations are: settings have no d_in")
    try:
        return config_from_dict(settings, where=f"{where}: settings")
    except (MonosemeError, TypeError) as error:
        raise ForeignError(f"{where} does not hold settings of an SAE: {error}") from error


def _taken(config: SAE.Config, tensors: Mapping[str, Tensor], *, where: str) -> dict[str, Tensor]:
    """What the architecture has, of its shapes, finite. Raises ForeignError."""
    try:
        state = build(config).state_dict()
    except (ConfigError, RuntimeError) as error:
        raise ForeignError(f"{where} is not of the SAE that its settings describe: {error}") from error
    if unknown := sorted(set(tensors) - set(state)):
        raise ForeignError(f"{where} holds what {config.plugin_name} does not have: {', '.join(unknown[:8])}")
    found: dict[str, Tensor] = {}
    for name, own in state.items():
        if name in _BOOKS and name not in tensors:
            continue
        if own.is_floating_point():
            found[name] = one_tensor(tensors, name, tuple(own.shape), where=where)
            continue
        value = tensors.get(name)
        if value is None or value.dtype != own.dtype:
            held = "is missing" if value is None else f"holds {value.dtype}"
            raise ForeignError(f"{where}: {name} should hold {own.dtype}, but {held}")
        found[name] = value
    return found
