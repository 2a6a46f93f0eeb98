"""llama3-sae sentences: `activations_l22_idx7.pt`, one file each; text if the sentences are given.

    ACTIVATIONS/layer_22/activations_l22_idx7.pt   torch.save of one tensor [tokens, D], bfloat16, padding cut off

Source: `capture_activations.py` and `openwebtext_sentences_dataset.py` of llama3_interpretability_sae, read in forks; the project
itself is no longer public. Known: the number is the place of the sentence in the dataset *after* `shuffle(seed=42)` of the
datasets library and the choice of the first `num_samples`; sentences are encoded without BOS and EOS, cut after 192 tokens; what
is kept of block 22 is what its attention norm gives out, before any SAE: `attn_in.22`. Forks keep other places, add a BOS, or do
not shuffle: --site, --bos, --shuffle_seed. Its readers sort the names as text (idx10 before idx2); here the numbers decide.

The dataset, paulpauls/openwebtext-sentences, has the column `text`. Token ids are recovered only if every sentence has as many
tokens as its file has rows: one that differs is an error that names it, and never a guess. Letters: n contexts, D width.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from monoseme.activations.formats._base import ActivationFormat
from monoseme.activations.formats._foreign import ForeignFacts, ForeignStore, ForeignText
from monoseme.activations.formats._numbered import NumberedFiles, Template, has_numbered, numbered_files
from monoseme.activations.formats._rows import as_rows, stored_dtype
from monoseme.activations.formats._sentences import Sentences
from monoseme.activations.formats._sites import map_sites
from monoseme.core.errors import ConfigError, ForeignError
from monoseme.core.files import hash_json
from monoseme.models.site import Site
from monoseme.tensors.foreign_file import load_tensor
from monoseme.tensors.shapes import Tensor

_FILES = Template("activations_l{}_idx{}", ".pt")


class Llama3SaeSentences(ActivationFormat):
    """A context is a sentence, and so is a document."""

    looks_for = "layer_L/activations_lL_idxN.pt"

    @dataclass(frozen=True, kw_only=True)
    class Config(ActivationFormat.Config):
        """Of sentences."""

        context_len: int = 192
        """Tokens that the longest sentence may have; the pipeline cuts them there."""
        sentences: str | None = None
        """The dataset of the sentences: a Parquet file or a folder of them, a saved dataset, or a hub id. None: no text."""
        shuffle_seed: int | None = 42
        """Seed with which the pipeline shuffled the sentences; None (on the command line: None) if it did not."""
        bos: bool = False
        """Sentences were encoded with a BOS in front."""

        def __post_init__(self) -> None:
            """Raises ConfigError for sentences without a tokenizer, and a tokenizer without sentences."""
            super().__post_init__()
            if self.context_len < 1:
                raise ConfigError(f"context_len is {self.context_len}; it must be at least 1")
            if (self.sentences is None) != (self.tokenizer is None):
                raise ConfigError(
                    "the text of the sentences takes both the sentences and the tokenizer.\n"
                    "  Give both:  --sentences PARQUET --tokenizer MODEL"
                )

    def recognises(self, folder: Path) -> bool:
        """By a file name in the folder or in one of its layers."""
        return any(has_numbered(place, _FILES) for place in _places(folder))

    def find(self, folder: Path, options: Config) -> ForeignStore:
        """The store in a folder, or in its folders layer_L."""
        return _Sentences(folder, options)


class _Sentences(ForeignStore):
    def __init__(self, folder: Path, options: Llama3SaeSentences.Config) -> None:
        layers = _layers(folder)
        sites = map_sites(list(layers), options.site, lambda name: Site("attn_in", int(name.removeprefix("layer_"))))
        self._files = {site: layers[name] for name, site in sites.items()}
        self._numbers = _same_numbers(self._files)
        firsts = {site: load_tensor(files.path(0)) for site, files in self._files.items()}
        for site, tensor in firsts.items():
            if tensor.ndim != 2:
                raise ForeignError(f"{self._files[site].path(0)} has the shape {tuple(tensor.shape)}, not [tokens, width]")
        self._dtype = next(iter(firsts.values())).dtype
        self._text = None
        if options.sentences is not None and options.tokenizer is not None:
            self._text = Sentences(
                options.sentences,
                options.tokenizer,
                shuffle_seed=options.shuffle_seed,
                bos=options.bos,
                max_tokens=options.context_len,
            )
        self.facts = ForeignFacts(
            widths={site: int(tensor.shape[1]) for site, tensor in firsts.items()},
            dtype=stored_dtype(next(iter(firsts.values())), self.where(0)),
            context_len=options.context_len,
            units=self._numbers,
            n_rows=None,
            has_text=self._text is not None,
            fingerprint=hash_json([files.fingerprint for files in self._files.values()]),
            details={"n_sentences": len(self._numbers)} | ({} if self._text is None else {"text": self._text.spec}),
            lost=self._lost(),
        )

    def text(self, contexts: NDArray[np.int64]) -> ForeignText:
        """Reads how long the files are; raises ForeignError where the layers differ in that."""
        first, *others = self._files
        lengths = [len(self._load(first, c)) for c in contexts.tolist()]
        for site in others:
            for c, expected in zip(contexts.tolist(), lengths, strict=True):
                if (length := len(self._load(site, c))) != expected:
                    raise ForeignError(f"{self._files[site].path(c)} has {length:,} rows, but {self.where(c)} {expected:,}")
        numbers = self._numbers[contexts]
        return ForeignText(
            lengths=torch.tensor(lengths),
            tokens=None if self._text is None else self._text.tokens(numbers, lengths),
            documents=torch.from_numpy(numbers),
            starts=torch.zeros(len(contexts), dtype=torch.long),
        )

    def rows(self, contexts: NDArray[np.int64]) -> Mapping[Site, Tensor]:
        """One file per sentence and site."""
        return {site: torch.cat([self._load(site, c) for c in contexts.tolist()]) for site in self._files}

    def where(self, context: int) -> str:
        """The file."""
        return str(next(iter(self._files.values())).path(context))

    def _load(self, site: Site, i: int) -> Tensor:
        path = self._files[site].path(i)
        return as_rows(load_tensor(path), like=self._dtype, width=self.facts.widths[site], where=str(path))

    def _lost(self) -> tuple[str, ...]:
        gaps = int(self._numbers[-1]) + 1 - len(self._numbers)
        lost = () if self._text else ("token ids: the files do not hold them (--sentences and --tokenizer recover them)",)
        return lost + ((f"{gaps:,} sentences whose number has no file",) if gaps else ())


def _places(folder: Path) -> list[Path]:
    try:
        below = sorted(folder.glob("layer_*"))
    except OSError:
        return [folder]
    return [folder, *(path for path in below if re.fullmatch(r"layer_\d{1,6}", path.name, re.ASCII) and path.is_dir())]


def _layers(folder: Path) -> dict[str, NumberedFiles]:
    """The files of each layer, by its name. Raises ForeignError when there are none, or a layer lies in two places."""
    layers: dict[str, NumberedFiles] = {}
    for place in _places(folder):
        files = numbered_files(place, _FILES)
        for layer in np.unique(files.numbers[:, 0]).tolist():
            if f"layer_{layer}" in layers:
                raise ForeignError(f"{place} and another folder below {folder} both hold files of layer {layer}")
            layers[f"layer_{layer}"] = files.only(files.numbers[:, 0] == layer)
    if not layers:
        raise ForeignError(f"{folder} holds no activations_lL_idxN.pt, nor do folders layer_L in it")
    return dict(sorted(layers.items(), key=lambda item: int(item[0].removeprefix("layer_"))))


def _same_numbers(files: Mapping[Site, NumberedFiles]) -> NDArray[np.int64]:
    """The sentences' numbers, ascending. Raises ForeignError where layers do not have the same ones."""
    found: Sequence[NDArray[np.int64]] = [each.numbers[:, 1] for each in files.values()]
    for site, numbers in zip(files, found, strict=True):
        odd = np.setxor1d(found[0], numbers)
        if len(odd):
            raise ForeignError(f"{site} and {next(iter(files))} do not hold the same sentences: first number {int(odd[0])}")
    return np.ascontiguousarray(found[0])
