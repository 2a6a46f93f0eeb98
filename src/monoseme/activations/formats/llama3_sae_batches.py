"""llama3-sae batches: `batch_PID_N.pt` of 1,024 rows, and their mean; no text.

    ACTIVATIONS_batched/batch_4711_0.pt   torch.save of one tensor [1024, D], bfloat16 as captured
    ACTIVATIONS_mean.pt                   torch.save of the mean over all rows, float64 [D]

Source: `sae_preprocessing.py` of llama3_interpretability_sae (read in a fork; the project itself is no longer public). Known:
each process counts its files from 0 under its own process id, fills a batch from sentence after sentence in the order in which
the file system lists them, and drops what is left when its sentences end, though the mean counts these rows too. So the mean of
the files differs a little from the mean they come with. Token ids, sentences and their borders are not written.
Assumed: the site is `attn_in.22`, the pipeline's only one (its capture keeps what the attention norm of block 22 gives out).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from monoseme.activations.formats._base import ActivationFormat
from monoseme.activations.formats._foreign import ForeignFacts, ForeignStore, ForeignText
from monoseme.activations.formats._numbered import Template, has_numbered, numbered_files
from monoseme.activations.formats._rows import Stretches, as_rows, stored_dtype
from monoseme.activations.formats._sites import map_sites
from monoseme.core.errors import ConfigError, ForeignError
from monoseme.core.files import hash_file
from monoseme.models.site import Site
from monoseme.tensors.foreign_file import load_tensor
from monoseme.tensors.shapes import Tensor

_FILES = Template("batch_{}_{}", ".pt")
_NAME = "batch"
_LOST = (
    "token ids, sentences and positions: the batches do not hold them",
    "the last rows of each process (fewer than a batch): they were dropped when the batches were made",
)


class Llama3SaeBatches(ActivationFormat):
    """Files of rows. A context is a stretch of a file's rows, and a file is held out as a whole."""

    looks_for = "batch_PID_N.pt"

    @dataclass(frozen=True, kw_only=True)
    class Config(ActivationFormat.Config):
        """Of batches."""

        context_len: int = 128
        """Rows that make a context."""
        mean: Path | None = None
        """File of the mean. None: NAME_mean.pt beside a folder NAME_batched or NAME, if it is there."""

        def __post_init__(self) -> None:
            """Raises ConfigError for contexts of less than one row."""
            super().__post_init__()
            if self.context_len < 1:
                raise ConfigError(f"context_len is {self.context_len}; it must be at least 1")

    def recognises(self, folder: Path) -> bool:
        """By a file name."""
        return has_numbered(folder, _FILES)

    def find(self, folder: Path, options: Config) -> ForeignStore:
        """The store in a folder."""
        return _Batches(folder, options)


class _Batches(ForeignStore):
    def __init__(self, folder: Path, options: Llama3SaeBatches.Config) -> None:
        self._files = numbered_files(folder, _FILES)
        if not len(self._files):
            raise ForeignError(f"{folder} holds no batch_PID_N.pt")
        first = load_tensor(self._files.path(0))
        self._site = map_sites([_NAME], options.site, lambda _: Site("attn_in", 22))[_NAME]
        dtype = stored_dtype(first, str(self._files.path(0)))
        if first.ndim != 2:
            raise ForeignError(f"{self._files.path(0)} has the shape {tuple(first.shape)}, not [rows, width]")
        self._shape, self._dtype = (int(first.shape[0]), int(first.shape[1])), first.dtype
        bounds = np.arange(len(self._files) + 1) * self._shape[0]
        self._stretches = Stretches(bounds, options.context_len)
        self._mean_file = _mean_of(folder, options.mean)
        self._mean = None if self._mean_file is None else _load_mean(self._mean_file, self._shape[1])
        self.facts = ForeignFacts(
            widths={self._site: self._shape[1]},
            dtype=dtype,
            context_len=options.context_len,
            units=self._stretches.run,
            n_rows=len(self._files) * self._shape[0],
            has_text=False,
            fingerprint=self._files.fingerprint,
            details={"n_files": len(self._files), "rows_per_file": self._shape[0]} | self._mean_facts(),
            lost=_LOST,
        )

    def text(self, contexts: NDArray[np.int64]) -> ForeignText:
        """Which file each context is of, and how many rows it has."""
        return ForeignText(
            lengths=torch.from_numpy(self._stretches.length[contexts]),
            tokens=None,
            documents=torch.from_numpy(self._stretches.run[contexts]),
            starts=torch.from_numpy(self._stretches.offset[contexts]),
        )

    def rows(self, contexts: NDArray[np.int64]) -> Mapping[Site, Tensor]:
        """Each file is opened once for the contexts of it that follow each other."""
        rows: list[Tensor] = []
        opened, file = -1, torch.empty(0)
        for c in contexts.tolist():
            if (run := int(self._stretches.run[c])) != opened:
                opened, file = run, self._load(run)
            offset = int(self._stretches.offset[c])
            rows.append(file[offset : offset + int(self._stretches.length[c])])
        return {self._site: torch.cat(rows)}

    def where(self, context: int) -> str:
        """The file, and the row in it."""
        path = self._files.path(int(self._stretches.run[context]))
        return f"{path}, row {int(self._stretches.offset[context]):,}"

    def means(self) -> Mapping[Site, Tensor]:
        """The mean that came with the batches."""
        return {} if self._mean is None else {self._site: self._mean}

    def _mean_facts(self) -> dict[str, object]:
        if self._mean_file is None or self._mean is None:
            return {}
        return {"mean": {"file": self._mean_file.name, "hash": hash_file(self._mean_file), "norm": float(self._mean.norm())}}

    def _load(self, i: int) -> Tensor:
        path = self._files.path(i)
        rows = as_rows(load_tensor(path), like=self._dtype, width=self._shape[1], where=str(path))
        if len(rows) != self._shape[0]:
            raise ForeignError(f"{path} has {len(rows):,} rows; the first file has {self._shape[0]:,}")
        return rows


def _mean_of(folder: Path, given: Path | None) -> Path | None:
    if given is not None:
        return given
    folder = folder.resolve()
    beside = folder.with_name(folder.name.removesuffix("_batched") + "_mean.pt")
    return beside if beside.is_file() else None


def _load_mean(path: Path, width: int) -> Tensor:
    mean = load_tensor(path)
    if tuple(mean.shape) != (width,) or not mean.is_floating_point() or not bool(mean.isfinite().all()):
        raise ForeignError(f"{path} holds {tuple(mean.shape)} numbers of {mean.dtype}; a finite mean of {width} is needed")
    return mean.double()
