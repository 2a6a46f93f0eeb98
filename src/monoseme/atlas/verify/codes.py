"""Compares what a scan kept of some contexts with codes that are computed again: a gatherer that keeps nothing and checks all.

Letters: R rows (tokens), E entries (non-zero codes), F latents, W width of a window.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from monoseme.atlas.bins import N_BINS, bin_of
from monoseme.atlas.latents import Latents
from monoseme.atlas.scanning.firings import Firings, Rows, windows
from monoseme.atlas.text_store import TextStore
from monoseme.atlas.verify.checks import Check, Tally

_WINDOW_TOLERANCE = 2.0**-10
"""Values around an example are kept as ratios in float16."""


class CodeComparer:
    """Takes the codes of contexts of the scan, each once, and compares all that was kept of them."""

    def __init__(self, latents: Latents, *, tolerance: float, rounding_share: float) -> None:
        self._latents, self._tolerance = latents, tolerance
        keep = latents.artifact.config["scan"]["keep"]
        self._left, self._right = int(keep["left"]), int(keep["right"])
        name = latents.key
        self._examples = Tally(f"{name}: activations of examples and sampled firings", rounding_share)
        self._windows = Tally(f"{name}: activations around examples", rounding_share)
        self._codes = Tally(f"{name}: all codes of kept and background tokens", rounding_share)
        self._counts = Tally(f"{name}: counts, histograms and maxima", rounding_share)
        self._n_tokens = 0
        self._n_negative = np.zeros(latents.n_latents, dtype=np.int64)
        self._histogram = np.zeros((latents.n_latents, N_BINS), dtype=np.int64)
        self._maximum = np.zeros(latents.n_latents, dtype=np.float32)

    def add(self, rows: Rows, firings: Firings) -> None:
        """Compare one chunk of whole contexts."""
        found = _Found(rows, firings)
        self._count(rows, firings)
        for name in ("examples", "firings"):
            for table in _row_groups(self._latents.artifact.file(f"{name}.parquet")):
                self._compare_examples(table, found)
        for stored in (self._kept(found), self._background(found)):
            if stored is not None:
                self._compare_codes(stored, found)

    def finish(self, *, is_all: bool) -> list[Check]:
        """The checks. `is_all`: all contexts were computed again, so that counts must be equal; else none may be too small."""
        told, tally = self._latents, self._counts
        histogram = np.load(told.artifact.file("histograms.npy"), mmap_mode="r")
        largest = np.array([value or 0.0 for value in told.column("max")])
        negative = np.array(told.column("n_negative"))
        if is_all:
            tally.compare(np.array([told.n_tokens]), np.array([self._n_tokens]), tolerance=0.0, told=lambda _: "tokens")
            tally.compare(negative, self._n_negative, tolerance=0.0, told=lambda i: f"latent {i}, negative codes")
            tally.compare(largest, self._maximum, tolerance=self._tolerance, told=lambda i: f"latent {i}, maximum")
        tally.n += histogram.size
        wrong = (histogram != self._histogram) if is_all else (histogram < self._histogram)
        for j in np.nonzero(wrong.any(axis=1))[0].tolist():
            counted = f"{int(histogram[j].sum()):,} firings in its histogram, {int(self._histogram[j].sum()):,} are counted"
            tally.fail(f"latent {j}: {counted}" + ("" if is_all else " in the sample, more in some bin than in all"))
        for j in np.nonzero(self._maximum > largest * (1 + self._tolerance))[0].tolist():
            tally.fail(f"latent {j}: its maximum {largest[j]:.6g} is less than an activation of {self._maximum[j]:.6g}")
        return [tally.done() for tally in (self._examples, self._windows, self._codes, self._counts)]

    def checkpoint(self, number: int) -> None:
        """Nothing is put down: a verification begins anew."""

    def restore(self, number: int) -> None:
        """There is nothing to take up."""

    def merge(self, other: Self) -> None:
        """Nothing is merged: one process compares."""

    def write(self, folder: Path, text: TextStore) -> None:
        """Nothing is written."""

    def _count(self, rows: Rows, firings: Firings) -> None:
        n_latents = self._latents.n_latents
        self._n_tokens += len(rows.document)
        self._n_negative += np.bincount(firings.latent[firings.value < 0], minlength=n_latents)
        fires = firings.value > 0
        latent, value = firings.latent[fires], firings.value[fires]
        flat = np.bincount(latent * N_BINS + bin_of(value), minlength=n_latents * N_BINS)
        self._histogram += flat.reshape(n_latents, N_BINS)
        np.maximum.at(self._maximum, latent, value)

    def _compare_examples(self, table: pa.Table, found: "_Found") -> None:
        rows = found.rows_at(table["document"].to_numpy(), table["position"].to_numpy())
        at = np.nonzero(rows >= 0)[0]
        table, rows = table.take(at), rows[at]
        latent, stored = table["latent"].to_numpy().astype(np.int64), table["value"].to_numpy()
        entry = found.entries_at(latent, rows)
        again = np.where(entry >= 0, found.firings.value[entry], 0.0) if len(found.firings.value) else np.zeros(len(entry))

        def told(i: int) -> str:
            place = f"document {table['document'][i].as_py()}, position {table['position'][i].as_py()}"
            return f"latent {latent[i]} at {place}"

        self._examples.compare(stored, again, tolerance=self._tolerance, told=told)
        if "window" not in table.column_names:  # an atlas made before firings had windows
            return
        known = np.nonzero(entry >= 0)[0]
        ratios = windows(found.firings, found.rows, entry[known], left=self._left, right=self._right)
        held = np.asarray(table["window"].combine_chunks().flatten()).reshape(len(at), -1)[known]
        apart = np.abs(held / stored[known, None] - ratios.astype(np.float64)).max(axis=1, initial=0.0)
        self._windows.n += len(known)
        scale = np.abs(ratios.astype(np.float64)).max(axis=1, initial=1.0)
        for i in np.nonzero(~(apart <= (_WINDOW_TOLERANCE + 2 * self._tolerance) * scale))[0].tolist():
            self._windows.fail(f"around {told(int(known[i]))}: a value differs by {apart[i]:.3g} of the example's")

    def _kept(self, found: "_Found") -> "_Codes | None":
        kept = self._latents.kept_codes()
        if kept is None:
            return None
        rows = found.rows_at(np.asarray(kept.document), np.asarray(kept.position))
        of_code = np.repeat(rows, np.diff(kept.token_offsets))
        here = np.nonzero(of_code >= 0)[0]
        return _Codes(rows[rows >= 0], of_code[here], kept.token_latents[here].astype(np.int64), kept.token_values[here])

    def _background(self, found: "_Found") -> "_Codes":
        sample = self._latents.background_sample()
        rows = found.rows_at(sample.document, sample.position)
        codes = pq.read_table(self._latents.artifact.file("background_codes.parquet"), columns=["value"])
        here = np.nonzero(rows[sample.row] >= 0)[0]
        row, latent = rows[sample.row[here]], sample.latent[here].astype(np.int64)
        return _Codes(rows[rows >= 0], row, latent, codes["value"].to_numpy()[here])

    def _compare_codes(self, stored: "_Codes", found: "_Found") -> None:
        """Both sets of codes of the same tokens, by (row, latent)."""
        n_latents, firings = self._latents.n_latents, found.firings
        is_stored = np.zeros(len(found.rows.document), dtype=bool)
        is_stored[stored.rows] = True
        ours = np.nonzero(is_stored[firings.row] & (firings.value != 0))[0]
        our_key = firings.row[ours] * n_latents + firings.latent[ours]
        order = np.argsort(our_key)
        our_key, our_value = our_key[order], firings.value[ours][order]
        order = np.argsort(stored.row * n_latents + stored.latent)
        their_key, their_value = (stored.row * n_latents + stored.latent)[order], stored.value[order]
        either: NDArray[np.int64] = np.unique(np.concatenate([our_key, their_key]))
        self._codes.compare(
            _laid_out(either, their_key, their_value),
            _laid_out(either, our_key, our_value),
            tolerance=self._tolerance,
            told=lambda i: f"latent {either[i] % n_latents} at {found.told(int(either[i] // n_latents))}",
        )


class _Codes:
    """Stored codes of tokens that were computed again."""

    def __init__(
        self, rows: NDArray[np.int64], row: NDArray[np.int64], latent: NDArray[np.int64], value: NDArray[np.float32]
    ) -> None:
        """`rows`: the tokens, also those without a code; the others, [E]: the codes."""
        self.rows, self.row, self.latent, self.value = rows, row, latent, value


class _Found:
    """The codes of a chunk, to be looked up by place."""

    def __init__(self, rows: Rows, firings: Firings) -> None:
        self.rows, self.firings = rows, firings
        self._span = int(rows.position.max(initial=0)) + 2
        line = rows.document * self._span + rows.position + 1
        self._order = np.argsort(line, kind="stable")
        self._line = line[self._order]
        self._entry_line = firings.latent * len(rows.document) + firings.row

    def rows_at(self, documents: NDArray[np.int64], positions: NDArray[np.int64]) -> NDArray[np.int64]:
        """The row of each place, -1 where it is not in the chunk or is a packed BOS, whose place is not its own."""
        line = documents * self._span + positions + 1
        at = np.minimum(np.searchsorted(self._line, line), len(self._line) - 1)
        inside = (self._line[at] == line) & (positions >= 0) & (positions < self._span - 1)
        return np.where(inside, self._order[at], -1)

    def entries_at(self, latents: NDArray[np.int64], rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """The entry of each latent on a row, -1 where it has no code there."""
        if not len(self._entry_line):
            return np.full(len(rows), -1)
        line = latents * len(self.rows.document) + rows
        at = np.minimum(np.searchsorted(self._entry_line, line), len(self._entry_line) - 1)
        return np.where(self._entry_line[at] == line, at, -1)

    def told(self, row: int) -> str:
        """The place of a row in words."""
        return f"document {self.rows.document[row]}, position {self.rows.position[row]}"


def _laid_out(keys: NDArray[np.int64], some: NDArray[np.int64], values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Values at the keys that are there, 0 at the others."""
    found = np.zeros(len(keys), dtype=np.float32)
    found[np.searchsorted(keys, some)] = values
    return found


def _row_groups(path: Path) -> Iterator[pa.Table]:
    """The row groups of a Parquet file, one at a time."""
    file = pq.ParquetFile(path, memory_map=True)
    for i in range(file.num_row_groups):
        if file.metadata.row_group(i).num_rows:
            yield file.read_row_group(i)
