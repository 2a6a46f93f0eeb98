"""TFA ("Priors in Time") precomputed states: `states_00003_of_00200.pkl`, ids where they are certain.

    states_{i:05d}_of_{n:05d}.pkl      torch.save of one tensor [contexts, S, D], bfloat16 by default
    input_ids_{i:05d}_of_{n:05d}.pkl   torch.save of one tensor [contexts, S], *of the same floating type*
    metadata.json                      shape, input_ids_shape, dtype ("torch.bfloat16"), bytes per file; written last

Source: `precompute_llm_activations/cache_utils.py` of TemporalFeatureAnalysis, and the precomputation in the training demo of
canrager/dictionary_learning, which is where the layout is from. Known: both write with `torch.save`, a zip despite the ending;
each context is the beginning of one text that has at least S tokens, so nothing is padding and a context is a document; a BOS is
in unless it was turned off. The layer is not written down: the configurations that come with TFA take the outputs of block 12 of
Gemma-2-2B and block 15 of Llama-3.1-8B, `resid_post.12` and `resid_post.15`.

A whole number has an exact place in bfloat16 up to 256 (2,048 in float16, 16,777,216 in float32), and 257 is rounded to 256. So
ids are certain where all of them are below that limit, or where they are integers; otherwise none are taken over.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from numpy.typing import NDArray

from monoseme.activations.formats._base import ActivationFormat
from monoseme.activations.formats._foreign import ForeignFacts, ForeignStore, ForeignText
from monoseme.activations.formats._memmap import read_table
from monoseme.activations.formats._numbered import NumberedFiles, Template, has_numbered, numbered_files
from monoseme.activations.formats._rows import as_rows, stored_dtype
from monoseme.activations.formats._sites import map_sites
from monoseme.core.errors import ForeignError
from monoseme.core.files import hash_json
from monoseme.models.site import Site
from monoseme.tensors.foreign_file import load_tensor
from monoseme.tensors.shapes import Tensor

_STATES = Template("states_{:05d}_of_{:05d}", ".pkl")
_IDS = Template("input_ids_{:05d}_of_{:05d}", ".pkl")
_EXACT_BELOW = {torch.bfloat16: 256, torch.float16: 2048, torch.float32: 1 << 24, torch.float64: 1 << 53}
"""Whole numbers below this one were certainly not rounded on their way into the type."""


class Tfa(ActivationFormat):
    """A context is a row of a file, the beginning of one document."""

    looks_for = "states_00000_of_N.pkl"

    @dataclass(frozen=True, kw_only=True)
    class Config(ActivationFormat.Config):
        """Of TFA: the site has to be told."""

    def recognises(self, folder: Path) -> bool:
        """By a file name."""
        return has_numbered(folder, _STATES)

    def find(self, folder: Path, options: Config) -> ForeignStore:
        """The store in a folder."""
        return _States(folder, options)


class _Text(NamedTuple):
    files: NumberedFiles | None
    """Files of the ids where all of them are certain."""
    lost: tuple[str, ...]


class _States(ForeignStore):
    def __init__(self, folder: Path, options: Tfa.Config) -> None:
        self._files = numbered_files(folder, _STATES)
        if not len(self._files):
            raise ForeignError(f"{folder} holds no states_00000_of_N.pkl")
        missing = _missing(self._files)
        first = load_tensor(self._files.path(0))
        if first.ndim != 3:
            raise ForeignError(f"{self._files.path(0)} has the shape {tuple(first.shape)}, not [contexts, positions, width]")
        dtype = stored_dtype(first, str(self._files.path(0)))
        self._shape = cast(tuple[int, int, int], tuple(first.shape))
        self._dtype = first.dtype
        said = _metadata(folder, self._shape, self._dtype)
        self._site = map_sites(["states"], options.site, lambda _: None)["states"]
        text = _text(folder, self._files, self._shape[:2])
        self._ids = text.files
        self.facts = ForeignFacts(
            widths={self._site: self._shape[2]},
            dtype=dtype,
            context_len=self._shape[1],
            units=np.arange(len(self._files) * self._shape[0]),
            n_rows=len(self._files) * self._shape[0] * self._shape[1],
            has_text=self._ids is not None,
            fingerprint=hash_json([self._files.fingerprint, None if self._ids is None else self._ids.fingerprint]),
            details={"n_files": len(self._files), "contexts_per_file": self._shape[0], "metadata": said},
            lost=text.lost + missing,
        )

    def text(self, contexts: NDArray[np.int64]) -> ForeignText:
        """The ids, where they are certain."""
        return ForeignText(
            lengths=torch.full((len(contexts),), self._shape[1]),
            tokens=None if self._ids is None else self._picked(contexts, self._tokens).flatten(),
            documents=torch.from_numpy(contexts),
            starts=torch.zeros(len(contexts), dtype=torch.long),
        )

    def rows(self, contexts: NDArray[np.int64]) -> Mapping[Site, Tensor]:
        """The states."""
        return {self._site: self._picked(contexts, self._states).flatten(0, 1)}

    def _picked(self, contexts: NDArray[np.int64], load: Callable[[int], Tensor]) -> Tensor:
        """Contexts of files [n, ...]; each file is opened once for those of it that follow each other."""
        files, places = np.divmod(contexts, self._shape[0])
        cuts = np.flatnonzero(np.diff(files)) + 1
        runs = zip(np.split(files, cuts), np.split(places, cuts), strict=True)
        return torch.cat([load(int(run[0]))[torch.from_numpy(where)] for run, where in runs])

    def where(self, context: int) -> str:
        """The file, and the context in it."""
        file, place = divmod(context, self._shape[0])
        return f"{self._files.path(file)}, context {place}"

    def _states(self, file: int) -> Tensor:
        path = self._files.path(file)
        states = load_tensor(path)
        if tuple(states.shape) != self._shape:
            raise ForeignError(f"{path} has the shape {tuple(states.shape)}; the first file has {self._shape}")
        return as_rows(states, like=self._dtype, width=self._shape[2], where=str(path)).view(self._shape)

    def _tokens(self, file: int) -> Tensor:
        if self._ids is None:
            raise RuntimeError("a store without ids is not asked for them")
        return _load_ids(self._ids.path(file), self._shape[:2]).long()


def _missing(files: NumberedFiles) -> tuple[str, ...]:
    """What is said of files that should be there. Raises ForeignError where two runs lie in one folder."""
    counts = np.unique(files.numbers[:, 1])
    if len(counts) > 1:
        raise ForeignError(f"{files.folder} holds files of {len(counts)} runs: of {', '.join(map(str, counts.tolist()))} files")
    n_missing = int(counts[0]) - len(files)
    if not n_missing:
        return ()
    first = int(np.setdiff1d(np.arange(int(counts[0])), files.numbers[:, 0])[0])
    return (f"{n_missing:,} of {int(counts[0]):,} files are not there, first number {first}",)


def _metadata(folder: Path, shape: tuple[int, ...], dtype: torch.dtype) -> Mapping[str, Any] | None:
    """What metadata.json says; None where there is none. Raises ForeignError where it does not agree with the first file."""
    path = folder / "metadata.json"
    if not path.is_file():
        return None
    said = read_table(path)
    if said.get("shape", list(shape)) != list(shape) or said.get("dtype", str(dtype)) != str(dtype):
        raise ForeignError(f"{path} speaks of {said.get('shape')} {said.get('dtype')}; the first file has {list(shape)} {dtype}")
    return {key: said[key] for key in ("shape", "input_ids_shape", "dtype") if key in said}


def _text(folder: Path, states: NumberedFiles, shape: tuple[int, ...]) -> _Text:
    """The files of the ids, if they are there and every id is certain; else why not."""
    ids = numbered_files(folder, _IDS)
    ids = ids.only(np.isin(ids.numbers[:, 0], states.numbers[:, 0]))
    if not np.array_equal(ids.numbers, states.numbers):
        return _Text(None, ("token ids: not every file of states has its file of ids",))
    for i in range(len(ids)):
        found = _load_ids(ids.path(i), shape)
        limit = _EXACT_BELOW.get(found.dtype)
        if limit is not None and not bool((found < limit).all()):
            kind = re.sub(r"^torch\.", "", str(found.dtype))
            return _Text(
                None, (f"token ids: they are stored as {kind}, which rounds those above {limit:,}, as in {ids.path(i)}",)
            )
    return _Text(ids, ())


def _load_ids(path: Path, shape: tuple[int, ...]) -> Tensor:
    ids = load_tensor(path)
    if tuple(ids.shape) != tuple(shape) or ids.dtype is torch.bool or ids.is_complex():
        raise ForeignError(f"{path} holds {tuple(ids.shape)} numbers of {ids.dtype}; ids of {tuple(shape)} are needed")
    if bool(((ids < 0) | (ids >= 1 << 32) & ids.isfinite()).any()):  # float16 makes infinity of large ids, which are then lost
        raise ForeignError(f"{path} holds numbers that are no token ids: below 0, or of more than 32 bits")
    return ids
