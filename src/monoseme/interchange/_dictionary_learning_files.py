"""Folders of dictionary_learning and its forks: which file holds weights, what its config.json says, where the SAE learned.

    RUN/trainer_0/ae.pt                     state dict of the dictionary, or what a run that was cut off left in its place:
                                            {step, ae, optimizer, config, norm_factor}
    RUN/trainer_0/config.json               {"trainer": {dict_class, lm_name, layer, submodule_name, ...}, "buffer": {io, ...}}
    RUN/trainer_0/checkpoints/ae_1000.pt    state dict after a step

Its demo puts one run in `RUN/resid_post_layer_8/`. Source: github.com/saprmarks/dictionary_learning, `training.py`.
"""

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from monoseme.core.errors import ForeignError
from monoseme.core.foreign import as_number, as_object, as_text, read_json_object
from monoseme.interchange._places import SaidSite
from monoseme.models.hook_names import hook_site, module_site
from monoseme.models.site import Site
from monoseme.tensors.foreign_file import load_plain

WEIGHTS, CONFIG = "ae.pt", "config.json"
TEMPORAL = "Temporal"
"""How the names of T-SAE's classes begin."""
_CHECKPOINT = re.compile(r"ae(_\d{1,12})?\.pt", re.ASCII)
_TRAINER = re.compile(r"trainer_(\d{1,9})", re.ASCII)
_NOT_IN_NAMES = re.compile(r"[^\w.-]+", re.ASCII)
_KINDS = {
    **{kind: kind for kind in ("resid_pre", "resid_post", "attn_in", "attn_out", "mlp_in", "mlp_out", "head_out", "head_mix")},
    **{"resid": "resid_post", "resid_out": "resid_post", "mlp": "mlp_out", "attn": "attn_out", "attention": "attn_out"},
}
_SUBMODULE = re.compile(rf"({'|'.join(sorted(_KINDS, key=len, reverse=True))})_layer_?(\d{{1,6}})", re.ASCII)
_INPUT_OF = {"resid_post": "resid_pre", "attn_out": "attn_in", "mlp_out": "mlp_in"}
_PREFIX = "_orig_mod."
"""Of names in a state dict that was saved from a compiled module."""


class Place(NamedTuple):
    """One dictionary on disk."""

    weights: Path
    config: Path | None
    """None where there is none beside the weights or one level up."""
    name: str


class Loaded(NamedTuple):
    """What lies at a place."""

    where: str
    tensors: Mapping[str, Any]
    trainer: Mapping[str, Any]
    buffer: Mapping[str, Any]
    norm_factor: float | None
    """What activations were divided by, of a run that was cut off: its weights work on what is so divided."""
    name: str
    beside: Path
    """The folder of the weights."""

    @property
    def dict_class(self) -> str | None:
        """The name of its class, as the files say."""
        return _class_name(self.trainer.get("dict_class"))

    @property
    def code_factor(self) -> float:
        """Its codes are ours, in the unit of raw activations, times this."""
        return 1.0 if self.norm_factor is None else 1 / self.norm_factor

    @property
    def notes(self) -> tuple[str, ...]:
        """What is said of weights that were left un-scaled."""
        if self.norm_factor is None:
            return ()
        return (
            f"a run that was cut off left it: its weights work on activations divided by {self.norm_factor:g}, and its codes are "
            f"{self.code_factor:g} times ours",
        )


def places(path: Path) -> list[Place]:
    """The dictionaries of a file, of one trainer's folder or of a run's folder; none where it is no such thing. Never raises."""
    try:
        if path.is_file():
            own = path.resolve()
            return [_place(path, own.parent.name if own.name == WEIGHTS else own.stem)] if path.suffix == ".pt" else []
        if (path / WEIGHTS).is_file():
            return [_place(path / WEIGHTS, path.resolve().name)]
        for pattern in ("trainer_*", "*/trainer_*"):
            found = [folder for folder in path.glob(pattern) if _TRAINER.fullmatch(folder.name) and (folder / WEIGHTS).is_file()]
            if found:
                return [
                    _place(folder / WEIGHTS, "_".join(folder.relative_to(path).parts)) for folder in sorted(found, key=_order)
                ]
    except OSError:
        pass
    return []


def classes_said(path: Path) -> set[str | None]:
    """The classes that the config.json of each dictionary names, None for one that has no such file or a broken one.

    Empty where there is no dictionary of this layout. Never raises.
    """
    said: set[str | None] = set()
    for place in places(path):
        found = None
        try:
            if place.config is not None:
                found = _class_name(_tables(place.config).trainer.get("dict_class"))
        except ForeignError:
            pass
        if found is not None or _CHECKPOINT.fullmatch(place.weights.name):
            said.add(found)
    return said


def loaded(place: Place) -> Loaded:
    """The tensors and settings at a place. Raises ForeignError."""
    where = str(place.weights)
    table = load_plain(place.weights)
    trainer, buffer = _Tables({}, {}) if place.config is None else _tables(place.config)
    norm = None
    if isinstance(table.get("ae"), dict):
        trainer = trainer or as_object(table.get("config", {}), where=f"{where}: config")
        norm = table.get("norm_factor")
        if norm is not None:
            norm = as_number(norm, where=f"{where}: norm_factor")
            if not norm > 0:
                raise ForeignError(f"{where}: norm_factor is {norm:g}; activations cannot have been divided by it")
        table = as_object(table["ae"], where=f"{where}: ae")
    tensors = {name.removeprefix(_PREFIX): value for name, value in table.items()}
    return Loaded(where, tensors, trainer, buffer, norm, place.name, place.weights.parent)


def site_of(found: Loaded) -> SaidSite:
    """Where it learned, as its settings say; else with a note, where they say at least the layer.

    Raises ForeignError for a transcoder.
    """
    io, name, layer = found.buffer.get("io"), found.trainer.get("submodule_name"), found.trainer.get("layer")
    if io == "in_and_out":
        raise ForeignError(f"{found.where} learned from the input of a module to its output: it is a transcoder, not an SAE")
    text = as_text(name, where=f"{found.where}: submodule_name") if name is not None else ""
    match = _SUBMODULE.fullmatch(text)
    if match:
        kind = _KINDS[match[1]]
        kind = _INPUT_OF.get(kind, kind) if io == "in" and match[1] not in _INPUT_OF else kind
        return SaidSite(str(Site(kind, int(match[2]))))
    if hook := hook_site(text) or hook_site(text.replace(".resid_", ".hook_resid_")):
        return SaidSite(str(hook))
    if module := module_site(text):
        return SaidSite(str(Site(_INPUT_OF[module.kind], module.layer) if io == "in" else module))
    if isinstance(layer, int):
        note = f"the files name layer {layer}, but not which place of it: give --site resid_post.{layer}, or what it is"
        return SaidSite(None, (note,))
    return SaidSite(None)


def model_of(found: Loaded) -> str | None:
    """The language model, as the trainer was told."""
    name = found.trainer.get("lm_name")
    return None if name is None else as_text(name, where=f"{found.where}: lm_name")


def facts_of(found: Loaded, dict_class: str) -> dict[str, Any]:
    """What the trainer and the buffer were told, as far as it is plain."""
    return {"dict_class": dict_class, "trainer": _plain(found.trainer), "buffer": _plain(found.buffer)}


def _place(weights: Path, name: str) -> Place:
    candidates = [folder / CONFIG for folder in (weights.parent, weights.resolve().parent.parent)]
    config = next((path for path in candidates if path.is_file()), None)
    return Place(weights, config, _NOT_IN_NAMES.sub("_", name) or "ae")


def _order(folder: Path) -> tuple[str, int]:
    match = _TRAINER.fullmatch(folder.name)
    return str(folder.parent), int(match[1]) if match else 0


class _Tables(NamedTuple):
    """What config.json tells of."""

    trainer: dict[str, Any]
    buffer: dict[str, Any]


def _tables(config: Path) -> _Tables:
    whole = read_json_object(config)
    trainer = as_object(whole.get("trainer"), where=f"{config}: trainer")
    return _Tables(trainer, as_object(whole.get("buffer") or {}, where=f"{config}: buffer"))


def _class_name(value: Any) -> str | None:
    """The last name in `value`, which may be written as a module's path or as Python prints a class."""
    names = re.findall(r"\w+", value[:200], re.ASCII) if isinstance(value, str) else []
    return names[-1] if names else None


def _plain(table: Mapping[str, Any]) -> dict[str, Any]:
    return {str(name): value for name, value in table.items() if _is_plain(value)}


def _is_plain(value: Any) -> bool:
    if isinstance(value, list):
        return all(_is_plain(item) and not isinstance(item, list) for item in value[:1000]) and len(value) <= 1000
    if isinstance(value, float):
        return math.isfinite(value)
    return value is None or isinstance(value, bool | str | int)
