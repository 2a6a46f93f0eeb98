"""Keeps all codes of the tokens of some contexts while a pass goes by: the gatherer behind `kept_codes.py`.

What is kept goes to three growing files in the gatherer's own folder at once, so memory does not grow with the sample; a
checkpoint is their lengths. The finished files are written in slices, with the contexts in the order of the source, so that
they are the same for any number of processes.

Letters: M kept tokens, F latents, E non-zero codes.
"""

import itertools
import os
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from monoseme.atlas.kept_codes import kept_file, sampled_contexts
from monoseme.atlas.scanning.firings import Firings, Rows
from monoseme.atlas.scanning.gatherer import GathererSpec
from monoseme.atlas.text_store import TextStore
from monoseme.core.errors import ConfigError
from monoseme.core.files import read_json, write_json

_TYPES = {"rows": np.dtype("<i8"), "latents": np.dtype("<i4"), "values": np.dtype("<f4")}
_ROW_COLUMNS = 4  # context, document, position, n_codes
_SLICE = 1 << 20
"""Codes brought in order at once: about 40 MB at work."""


MOST_KEPT_TOKENS = 1_000_000
"""Above this a sample says nothing more about pairs of latents, and takes gigabytes."""


def keep_codes(n_tokens: int, *, seed: int) -> GathererSpec:
    """What a scan gathers to keep the codes of whole contexts, up to about `n_tokens` tokens of them and at least one context.

    All SAEs of a scan keep the same contexts. Raises ConfigError for a number outside 1 to MOST_KEPT_TOKENS.
    """
    if not 1 <= n_tokens <= MOST_KEPT_TOKENS:
        raise ConfigError(
            f"the codes of {n_tokens:,} tokens cannot be kept: the number must be between 1 and {MOST_KEPT_TOKENS:,}."
        )

    def make(n_latents: int, *, n_contexts: int, context_len: int, scratch: Path) -> KeptCodesWriter:
        return KeptCodesWriter(n_latents, sampled_contexts(seed, n_contexts, max(1, n_tokens // context_len)), scratch)

    return GathererSpec("kept_codes", make)


class KeptCodesWriter:
    """Keeps the codes of all tokens of `contexts`, a sorted array of ordinals such as `sampled_contexts` gives."""

    def __init__(self, n_latents: int, contexts: NDArray[np.int64], folder: Path) -> None:
        self.n_latents, self.contexts, self.folder = n_latents, contexts, folder
        self._lengths = dict.fromkeys(_TYPES, 0)

    def add(self, rows: Rows, firings: Firings) -> None:
        """Take in one chunk of whole contexts; codes that are exactly zero are no codes."""
        kept = np.isin(rows.context, self.contexts)
        if not kept.any():
            return
        codes = np.nonzero(kept[firings.row] & (firings.value != 0))[0]
        # firings come by (latent, row); a stable sort by row makes them (row, latent)
        codes = codes[np.argsort(firings.row[codes], kind="stable")]
        n_codes = np.bincount(firings.row[codes], minlength=len(kept))
        columns = (rows.context, rows.document, rows.position, n_codes)
        self._append("rows", np.stack([column[kept] for column in columns], axis=1))
        self._append("latents", firings.latent[codes])
        self._append("values", firings.value[codes])

    def checkpoint(self, number: int) -> None:
        """Put down the lengths of the files."""
        self.folder.mkdir(parents=True, exist_ok=True)
        for name in _TYPES:
            if self._lengths[name]:
                with self._file(name).open("rb+") as file:
                    os.fsync(file.fileno())
        write_json(self._checkpoint_file(number), self._lengths)
        self._checkpoint_file(number - 2).unlink(missing_ok=True)

    def restore(self, number: int) -> None:
        """Cut the files back to that checkpoint."""
        self._lengths = dict(read_json(self._checkpoint_file(number)))
        for name, length in self._lengths.items():
            if length:
                os.truncate(self._file(name), length)

    def merge(self, other: Self) -> None:
        """Take in what was kept of other contexts."""
        for name in _TYPES:
            if other._lengths[name]:
                for part in np.split(other._read(name), range(_SLICE, other._lengths[name] // _TYPES[name].itemsize, _SLICE)):
                    self._append(name, part)

    def write(self, folder: Path, text: TextStore) -> None:  # noqa: ARG002 - other gatherers write what a text shows
        """Write the files of `kept_codes.py`."""
        rows = self._read("rows").reshape(-1, _ROW_COLUMNS)
        order = np.argsort(rows[:, 0], kind="stable")
        context, document, position, n_codes = rows[order].T
        np.save(kept_file(folder, "tokens"), np.stack([document, position]))
        ordinals, starts = np.unique(context, return_index=True)
        np.save(kept_file(folder, "contexts"), np.stack([np.append(ordinals, 0), np.append(starts, len(context))]))
        offsets = np.concatenate([[0], np.cumsum(n_codes)]).astype(np.int64)
        np.save(kept_file(folder, "token_offsets"), offsets)
        found = np.concatenate([[0], np.cumsum(rows[:, 3])])[order]  # where each token's codes begin in the growing files
        by_token = self._write_by_token(folder, found, offsets)
        _write_by_latent(folder, by_token, offsets, self.n_latents)

    def _write_by_token(self, folder: Path, found: NDArray[np.int64], offsets: NDArray[np.int64]) -> "_Entries":
        """Copy the codes in the order of tokens, a slice at a time."""
        latents, values = self._read("latents"), self._read("values")
        written = _Entries.new(folder, ("token_latents", "token_values"), int(offsets[-1]))
        for first, last in _slices(offsets):
            lengths = np.diff(offsets[first : last + 1])
            begin, end = int(offsets[first]), int(offsets[last])
            at = np.arange(begin, end) + np.repeat(found[first:last] - offsets[first:last], lengths)
            written.where[begin:end], written.value[begin:end] = latents[at], values[at]
        return written

    def _append(self, name: str, values: NDArray) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        with self._file(name).open("ab" if self._lengths[name] else "wb") as file:
            file.write(np.ascontiguousarray(values, dtype=_TYPES[name]).data)
        self._lengths[name] += values.size * _TYPES[name].itemsize

    def _read(self, name: str) -> NDArray:
        kind = _TYPES[name]
        if not self._lengths[name]:
            return np.empty(0, kind)
        return np.memmap(self._file(name), kind, mode="r", shape=(self._lengths[name] // kind.itemsize,))

    def _file(self, name: str) -> Path:
        return self.folder / f"{name}.bin"

    def _checkpoint_file(self, number: int) -> Path:
        return self.folder / f"checkpoint.{number}.json"


class _Entries(NamedTuple):
    """A pair of files of codes, mapped for writing."""

    where: NDArray[np.int32]
    value: NDArray[np.float32]

    @classmethod
    def new(cls, folder: Path, names: tuple[str, str], n_codes: int) -> "_Entries":
        """Two files of `n_codes` entries."""
        where, value = kept_file(folder, names[0]), kept_file(folder, names[1])
        return cls(_mapped(where, np.int32, n_codes), _mapped(value, np.float32, n_codes))


def _mapped(path: Path, kind: type[np.generic], length: int) -> NDArray:
    if length:
        return np.lib.format.open_memmap(path, mode="w+", dtype=kind, shape=(length,))
    np.save(path, np.empty(0, kind))  # of an empty file nothing can be mapped
    return np.empty(0, kind)


def _slices(offsets: NDArray[np.int64]) -> list[tuple[int, int]]:
    """Runs of tokens of about _SLICE codes each: (first, one past the last)."""
    ends = np.unique(np.searchsorted(offsets, np.arange(_SLICE, int(offsets[-1]) + _SLICE, _SLICE), side="right") - 1)
    bounds = np.unique(np.concatenate([[0], ends, [len(offsets) - 1]])).tolist()
    return list(itertools.pairwise(bounds))


def _write_by_latent(folder: Path, by_token: _Entries, offsets: NDArray[np.int64], n_latents: int) -> None:
    """A counting sort by latent in slices of tokens; within a latent the rows ascend."""
    counts = np.zeros(n_latents, dtype=np.int64)
    for first, last in _slices(offsets):
        counts += np.bincount(by_token.where[int(offsets[first]) : int(offsets[last])], minlength=n_latents)
    starts = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    np.save(kept_file(folder, "latent_offsets"), starts)
    written = _Entries.new(folder, ("latent_rows", "latent_values"), int(offsets[-1]))
    place = starts[:-1].copy()
    for first, last in _slices(offsets):
        at = slice(int(offsets[first]), int(offsets[last]))
        latent = np.asarray(by_token.where[at])
        order = np.argsort(latent, kind="stable")
        here = np.bincount(latent, minlength=n_latents)
        rank = np.arange(len(latent)) - np.repeat(np.cumsum(here) - here, here)
        target = place[latent[order]] + rank
        written.where[target] = np.repeat(np.arange(first, last), np.diff(offsets[first : last + 1]))[order]
        written.value[target] = np.asarray(by_token.value[at])[order]
        place += here
