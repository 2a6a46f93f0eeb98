"""dictionary_learning: `ae.pt` with a config.json, in a folder for each trainer, and all of its classes.

Layout and spellings are in `_dictionary_learning_files`, what each class computes and what becomes of it in
`_dictionary_learning_classes`, and the way back in `_dictionary_learning_writing`.

The tool trains on activations divided by one number and multiplies it into biases and thresholds when it saves, so that codes
are in the unit of raw activations. A run that was cut off leaves weights without that, and the number beside them: here it
becomes the scale of the input, and `code_factor` says the unit.

Source: github.com/saprmarks/dictionary_learning; PyPI 0.1.0. Its weights are files of `torch.save`.
Letters: D model width, F latents.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from monoseme.core.errors import ConfigError, ForeignError
from monoseme.interchange._base import ForeignSae, SaeFormat, WholeSae
from monoseme.interchange._dictionary_learning_classes import DictClass, Source, class_by_keys, made_of
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
from monoseme.interchange._dictionary_learning_writing import save, written
from monoseme.interchange._places import SaidSite, with_site

_USED_BY = {
    "k": ("AutoEncoderTopK",),
    "use_threshold": ("AutoEncoderTopK",),
    "apply_b_dec_to_input": ("JumpReluAutoEncoder",),
}


class DictionaryLearning(SaeFormat):
    """See the module's docstring."""

    looks_for = "ae.pt with config.json (trainer.dict_class), in it or in trainer_0, trainer_1, ...; or checkpoints/ae_1000.pt"

    @dataclass(frozen=True, kw_only=True)
    class Config(SaeFormat.Config):
        """What the files may not hold."""

        dict_class: DictClass | None = None
        """Class of the dictionary. None: as config.json says, else by the names of its tensors."""
        k: int | None = None
        """Latents kept per token (count); only for AutoEncoderTopK. None: as the files say."""
        use_threshold: bool = False
        """Use an AutoEncoderTopK by its threshold; else the k largest of each token, as the tool does unless told."""
        apply_b_dec_to_input: bool = False
        """A JumpReluAutoEncoder takes b_dec off its input (the tool never saves whether it does); else it does not."""

    @dataclass(frozen=True, kw_only=True)
    class WriteConfig(SaeFormat.WriteConfig):
        """How it is written."""

        dict_class: DictClass | None = None
        """Class of the dictionary. None: the one that holds the SAE whole."""
        k: int | None = None
        """Latents per token that it was trained to keep (count): BatchTopKSAE and MatryoshkaBatchTopKSAE must say it. None: as
        its artifact says."""

    config: Config

    def recognises(self, path: Path) -> bool:
        """By names, and by the class that config.json names where there is one."""
        return any(name is None or not name.startswith(TEMPORAL) for name in classes_said(path))

    def read(self, path: Path) -> Sequence[ForeignSae]:
        """One SAE for each trainer."""
        found = places(path)
        if not found:
            raise ForeignError(f"{path} should be, or hold, ae.pt (or trainer_0/ae.pt, trainer_1/ae.pt, ...)")
        read = [self._read(loaded(place)) for place in found]
        for name, classes in _USED_BY.items():
            held = {str(one.facts["dict_class"]) for one in read}
            if getattr(self.config, name) and not held & set(classes):
                raise ConfigError(
                    f"--{name} is for {', '.join(classes)}, but {path} holds {', '.join(sorted(held))}: leave it out"
                )
        return read

    def write(self, whole: WholeSae, folder: Path, config: SaeFormat.WriteConfig) -> tuple[str, ...]:
        """`ae.pt` and `config.json`."""
        asked = config if isinstance(config, self.WriteConfig) else self.WriteConfig(dtype=config.dtype)
        made = written(whole, dict_class=asked.dict_class, k=asked.k)
        return save(whole, folder, made, dtype=config.dtype)

    def _read(self, found: Loaded) -> ForeignSae:
        dict_class = self.config.dict_class or found.dict_class or class_by_keys(found.tensors, where=found.where)
        source = Source(
            where=found.where,
            tensors=found.tensors,
            trainer=found.trainer,
            norm_factor=found.norm_factor,
            k=self.config.k,
            use_threshold=self.config.use_threshold,
            apply_b_dec_to_input=self.config.apply_b_dec_to_input,
        )
        made = made_of(dict_class, source)
        notes = list(made.notes)
        if found.dict_class is None and self.config.dict_class is None:
            notes.append(f"no config.json names its class: by its tensors it is a {dict_class}")
        known = SaidSite(None) if self.config.site else site_of(found)
        sae = made.sae
        sae.config = with_site(sae.config, self.config.site, known.site)
        return ForeignSae(
            name=found.name,
            sae=sae,
            model=model_of(found),
            facts=facts_of(found, dict_class),
            notes=(*notes, *found.notes, *known.notes),
            code_factor=found.code_factor,
        )
