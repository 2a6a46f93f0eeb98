"""T-SAE: `ae.pt` with a config.json whose dict_class is TemporalMatryoshkaBatchTopKSAE, or TemporalBatchTopKSAE without groups.

    W_enc [D, F]    b_enc [F]    W_dec [F, D]    b_dec [D]    k ()    threshold ()    group_sizes [G], not cumulative

    a = relu((x - b_dec) W_enc + b_enc),   f = a 1[a > threshold],   x_hat = f W_dec + b_dec

The first group is the part `high`, the others together are `low`, as in our tsae. A threshold of -1 was never set and lets every
positive activation through. What the SAE was trained to do over time is not in its codes: config.json says which pairs it saw
(`temporal`), and neither that the loss was contrastive nor its weight.

Source: github.com/AI4LIFE-GROUP/temporal-saes, `trainers/temporal_sequence_top_k.py`, a fork of dictionary_learning; published in
alex-oesterling/temporal-saes as `trainer_0/` (groups of 3,276 and 13,108) with `explanations.json`.
Letters: D model width, F latents, G groups.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from monoseme.core.errors import ConfigError, ForeignError
from monoseme.core.files import typed
from monoseme.interchange._base import ForeignSae, SaeFormat, WholeSae
from monoseme.interchange._dictionary_learning_classes import Made, Source, above_one, linear_weights, plain_weights, sizes_of
from monoseme.interchange._dictionary_learning_files import (
    TEMPORAL,
    Loaded,
    classes_said,
    facts_of,
    loaded,
    model_of,
    places,
    site_of,
)
from monoseme.interchange._dictionary_learning_writing import (
    Written,
    group_settings,
    grouped,
    one_threshold,
    refuse_standardised,
    save,
    trained_k,
)
from monoseme.interchange._places import SaidSite, with_site

_GROUPED, _UNGROUPED = "TemporalMatryoshkaBatchTopKSAE", "TemporalBatchTopKSAE"
_EXPLANATIONS = "explanations.json"
_PAIRS = {"random": "r", "previous": "p"}


class TSae(SaeFormat):
    """See the module's docstring."""

    looks_for = f"ae.pt with a config.json whose trainer.dict_class is {_GROUPED}"

    @dataclass(frozen=True, kw_only=True)
    class WriteConfig(SaeFormat.WriteConfig):
        """How it is written."""

        k: int | None = None
        """Latents per token that it was trained to keep (count), which the format must say. None: as its artifact says."""

    def recognises(self, path: Path) -> bool:
        """By the class that config.json names."""
        said = classes_said(path)
        return bool(said) and all(name is not None and name.startswith(TEMPORAL) for name in said)

    def read(self, path: Path) -> Sequence[ForeignSae]:
        """One SAE for each trainer."""
        found = places(path)
        if not found:
            raise ForeignError(
                f"{path} should be, or hold, ae.pt with its config.json (or trainer_0/ae.pt, trainer_1/ae.pt, ...)"
            )
        return [self._read(loaded(place), path) for place in found]

    def write(self, whole: WholeSae, folder: Path, config: SaeFormat.WriteConfig) -> tuple[str, ...]:
        """`ae.pt` and `config.json`."""
        groups = [*whole.sae.parts][1:]
        refuse_standardised(whole, self.plugin_name)
        if not one_threshold(whole) or groups not in (["high", "low"], []):
            parts = f" with parts {', '.join(groups)}" if groups else ""
            raise ConfigError(
                f"tsae holds what has one threshold and the parts high and low, or no parts; not {whole.sae.config.plugin_name}"
                f"{parts}.\n  Formats that may hold it: dictionary_learning, plain"
            )
        asked = config.k if isinstance(config, self.WriteConfig) else None
        made = _written(whole, asked)
        lost = "the format does not hold whether the loss was contrastive, nor its weight (temp_alpha)"
        return (lost, *save(whole, folder, made, dtype=config.dtype))

    def _read(self, found: Loaded, path: Path) -> ForeignSae:
        dict_class = found.dict_class
        if dict_class not in (_GROUPED, _UNGROUPED):
            said = "no config.json says what it is" if dict_class is None else f"its config.json says that it is a {dict_class}"
            raise ForeignError(f"{found.where} should be a {_GROUPED} or {_UNGROUPED}, but {said}")
        source = Source(where=found.where, tensors=found.tensors, trainer=found.trainer, norm_factor=found.norm_factor)
        made = _made(dict_class, source)
        known = SaidSite(None) if self.config.site else site_of(found)
        made.sae.config = with_site(made.sae.config, self.config.site, known.site)
        return ForeignSae(
            name=found.name,
            sae=made.sae,
            model=model_of(found),
            facts=facts_of(found, dict_class),
            notes=(*made.notes, *found.notes, *known.notes, *_explained(found, path)),
            code_factor=found.code_factor,
        )


def _made(dict_class: str, source: Source) -> Made:
    if dict_class == _UNGROUPED:
        return above_one(source, linear_weights(source) if "encoder.weight" in source.tensors else plain_weights(source))
    weights = plain_weights(source)
    high, *others = sizes_of(source, weights.W_enc.shape[1])
    made = above_one(source, weights, groups={"high": high, "low": sum(others)} if others else {"high": high})
    if len(others) < 2:
        return made
    return made._replace(notes=(*made.notes, f"its {1 + len(others)} groups are the parts high (the first) and low (the others)"))


def _explained(found: Loaded, path: Path) -> list[str]:
    """What to do with the explanations beside it, where there are some."""
    folders = dict.fromkeys([found.beside, found.beside.resolve().parent, path if path.is_dir() else path.parent])
    for folder in folders:
        if (folder / _EXPLANATIONS).is_file():
            place = typed(folder / _EXPLANATIONS)
            return [
                f"explanations of its latents lie beside it; into an atlas of it with:  monoseme import {place} --atlas ATLAS"
            ]
    return []


def _written(whole: WholeSae, k: int | None) -> Written:
    dict_class = _GROUPED if whole.sae.config.groups else _UNGROUPED
    found = trained_k(whole, k, dict_class)
    threshold = whole.sae.get_buffer("threshold")[0].clone()
    scalars = {"k": torch.tensor(found, dtype=torch.int32), "threshold": threshold}
    settings: dict[str, Any] = {"k": found, "temporal": _temporal(whole)}
    if dict_class == _GROUPED:
        return Written(dict_class, {**grouped(whole), **scalars}, {**settings, **group_settings(whole)})
    sae = whole.sae
    linear = {"encoder.weight": sae.W_enc.t(), "encoder.bias": sae.b_enc, "decoder.weight": sae.W_dec.t(), "b_dec": sae.b_dec}
    return Written(dict_class, {**linear, **scalars}, settings)


def _temporal(whole: WholeSae) -> str | None:
    """Which earlier token it saw: r or p, as the tool writes it; None where its artifact does not say."""
    ours, origin = whole.facts.get("trained_as"), whole.facts.get("imported")
    if isinstance(ours, dict):
        return _PAIRS.get(str(ours.get("pairs")))
    trainer = origin.get("trainer") if isinstance(origin, dict) else None
    said = trainer.get("temporal") if isinstance(trainer, dict) else None
    return said if isinstance(said, str) else None
