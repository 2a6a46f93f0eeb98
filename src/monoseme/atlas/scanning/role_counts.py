"""How often each latent fires on the tokens of each role of a conversation.

Written by the scan beside the other files of a latents artifact as `roles.parquet`, one row for each latent and role that has
tokens: latent, role, n_fired, n_tokens, density (n_fired / n_tokens). Of plain text, where all is of the role "text", there is
no such file.

Letters: F latents, G roles.
"""

from pathlib import Path
from typing import Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from monoseme.atlas.scanning.firings import Firings, Rows
from monoseme.atlas.scanning.gatherer import GathererSpec
from monoseme.atlas.scanning.npz_file import read_npz, write_npz
from monoseme.atlas.text_store import TextStore
from monoseme.text.document import ROLES

ROLES_TABLE = "roles.parquet"


def count_roles() -> GathererSpec:
    """What a scan gathers to tell densities by role."""

    def make(n_latents: int, *, n_contexts: int, context_len: int, scratch: Path) -> RoleCounts:  # noqa: ARG001 - as all are made
        return RoleCounts(n_latents, scratch)

    return GathererSpec("roles", make)


class RoleCounts:
    """Counts of F latents; negative codes are no firings."""

    def __init__(self, n_latents: int, scratch: Path) -> None:
        self._scratch = scratch
        self.n_fired = np.zeros((n_latents, len(ROLES)), dtype=np.int64)
        self.n_tokens = np.zeros(len(ROLES), dtype=np.int64)

    def add(self, rows: Rows, firings: Firings) -> None:
        """Take in one chunk."""
        role = np.zeros(len(rows.document), np.int64) if rows.role is None else rows.role.astype(np.int64)
        self.n_tokens += np.bincount(role, minlength=len(ROLES))
        fires = firings.value > 0
        flat = firings.latent[fires] * len(ROLES) + role[firings.row[fires]]
        self.n_fired += np.bincount(flat, minlength=self.n_fired.size).reshape(self.n_fired.shape)

    def checkpoint(self, number: int) -> None:
        """Put the counts down beside those before."""
        write_npz(self._file(number), n_fired=self.n_fired, n_tokens=self.n_tokens)
        self._file(number - 2).unlink(missing_ok=True)

    def restore(self, number: int) -> None:
        """Take up the counts of that checkpoint."""
        self.n_fired, self.n_tokens = read_npz(self._file(number), "n_fired", "n_tokens")

    def merge(self, other: Self) -> None:
        """Add the counts of other contexts."""
        self.n_fired += other.n_fired
        self.n_tokens += other.n_tokens

    def write(self, folder: Path, text: TextStore) -> None:
        """Write the table, where somebody speaks."""
        if text.roles is None:
            return
        present = np.nonzero(self.n_tokens)[0]
        n_latents = len(self.n_fired)
        role = pa.DictionaryArray.from_arrays(pa.array(np.tile(present, n_latents), pa.int8()), list(ROLES))
        n_fired, n_tokens = self.n_fired[:, present].reshape(-1), np.tile(self.n_tokens[present], n_latents)
        latent = np.repeat(np.arange(n_latents, dtype=np.int32), len(present))
        counts = {"latent": latent, "role": role, "n_fired": n_fired, "n_tokens": n_tokens, "density": n_fired / n_tokens}
        pq.write_table(pa.table(counts), folder / ROLES_TABLE, compression="zstd")

    def _file(self, number: int) -> Path:
        return self._scratch / f"roles.{number}.npz"
