"""From a block of activations to what is gathered of one SAE: encode valid rows, collect firings, hand them on in large chunks.

Letters: n contexts of a block, S positions, R valid rows, D model width.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from monoseme.atlas.roles import RoleFilter
from monoseme.atlas.scanning.firings import Rows, join_rows, sort_firings
from monoseme.atlas.scanning.gatherer import Gatherer
from monoseme.atlas.scanning.needs import ScannedSAE
from monoseme.atlas.text_store import TokenGrid, segment_starts
from monoseme.core.errors import UndefinedMetricError
from monoseme.models.site import Site
from monoseme.splice import Placed
from monoseme.tensors.sparse import SparseCodes

_ENTRIES_PER_CHUNK = 1 << 20
"""Firings gathered before they are sorted and counted: about 60 MB at work, and costs per latent are paid rarely."""


class Target(NamedTuple):
    """One SAE to scan, and what to call it."""

    name: str
    sae: ScannedSAE
    sites: tuple[Site, ...]
    """The places it learned from, in that order."""
    part: str | None = None
    """Which part of its codes; None takes all of them."""
    sae_hash: str | None = None
    """Content hash of the `sae` artifact it came from; None hashes its weights."""

    @property
    def placed(self) -> Placed:
        """The SAE in its places. Raises ConfigError for a number of sites that it cannot have."""
        return Placed(self.sae, self.sites)

    @property
    def key(self) -> str:
        """What its names in the atlas begin with: `name`, or `name.part`."""
        return self.name if self.part is None else f"{self.name}.{self.part}"

    @property
    def keys(self) -> tuple[str, ...]:
        """Its names in the atlas: `key`, or `key@site` for each site where these have codes of their own."""
        placed = self.placed
        return tuple(f"{self.key}@{site}" for site in placed.code_sites) if self.sae.codes_per_site else (self.key,)


class BlockRows(NamedTuple):
    """The rows of one block that may reach an SAE."""

    valid: NDArray[np.bool_]
    """[n, S]"""
    rows: Rows


def block_rows(grid: TokenGrid, *, gap: int, first_context: int = 0, only: RoleFilter | None = None) -> BlockRows:
    """The valid rows of a block that pass `only`, placed so that windows stay inside a segment of document and context.

    `first_context`: ordinal of its first context in the source.
    """
    valid = grid.mask & (grid.documents >= 0)
    if only is not None:
        valid &= only.passed(grid.roles, grid.turns, like=valid)
    n_contexts, seq_len = grid.tokens.shape
    segment = np.cumsum(segment_starts(grid).reshape(-1))
    slot = np.arange(n_contexts * seq_len) + segment * gap
    context = np.repeat(first_context + np.arange(n_contexts), seq_len)
    flat = valid.reshape(-1)
    role = None if grid.roles is None else grid.roles[valid]
    return BlockRows(valid, Rows(grid.documents[valid], grid.positions[valid], slot[flat], context[flat], role))


class Feed:
    """Encodes blocks for one target and feeds what gathers its codes: one, or one for each site with codes of its own."""

    def __init__(self, target: Target, gathered: Sequence["Gathered"], *, rows_per_encode: int) -> None:
        """`gathered`: one for each of the target's keys."""
        self.target, self.gathered = target, tuple(gathered)
        self.placed = target.placed
        self._rows_per_encode = rows_per_encode

    @torch.no_grad()
    def add(self, number: int, activations: Mapping[Site, Tensor], block: BlockRows) -> None:
        """Encode the valid rows of block `number`, whole contexts at once, unless all of it was handed on before.

        Raises UndefinedMetricError for codes that are not finite.
        """
        if number < self.next_block:
            return
        valid = torch.from_numpy(block.valid)
        step = max(1, self._rows_per_encode // valid.shape[1])
        for gathered in self.gathered:
            gathered.add_rows(number, block.rows)
        for start in range(0, len(valid), step):
            part = slice(start, start + step)
            codes = self.placed.encode({site: activations[site][part] for site in self.placed.inputs}, valid[part])
            code = codes.sparse(self.target.part)
            for gathered, of_site in zip(self.gathered, self.placed.per_site(code), strict=True):
                gathered.add(of_site)
        for gathered in self.gathered:
            gathered.flush_if_full()

    @property
    def next_block(self) -> int:
        """Number of the first block of which something was not handed on yet."""
        return min(gathered.next_block for gathered in self.gathered)

    def flush(self) -> None:
        """Hand on what is collected; to be called once more after the last block."""
        for gathered in self.gathered:
            gathered.flush()


class Gathered:
    """Everything that is gathered of one (SAE, part) at one site, and the firings on their way there."""

    def __init__(self, key: str, gatherers: Mapping[str, Gatherer], *, gap: int) -> None:
        """`gatherers` by name; `gap` as `block_rows` had it."""
        self.key = key
        """What the atlas calls it."""
        self.gatherers = dict(gatherers)
        self.n_rows = 0
        """Tokens that were handed on (count)."""
        self.next_block = 0
        """Number of the first block that was not handed on."""
        self._gap, self._block, self._is_new = gap, 0, True
        self._rows: list[Rows] = []
        self._latent: list[NDArray[np.int32]] = []
        self._value: list[NDArray[np.float32]] = []
        self._row: list[NDArray[np.int64]] = []
        self._n_rows = self._n_entries = 0

    def add_rows(self, number: int, rows: Rows) -> None:
        """The rows of block `number`, whose codes are added next; passed over if they were handed on before."""
        self._block, self._is_new = number, number >= self.next_block
        if self._is_new:
            self._rows.append(rows)

    def add(self, codes: SparseCodes) -> None:
        """Codes of the next rows. Raises UndefinedMetricError for codes that are not finite."""
        if not self._is_new:
            return
        value = codes.values.float().cpu().numpy()
        if not np.isfinite(value).all():
            raise UndefinedMetricError(
                f"{self.key} gives codes that are not finite. Check the SAE and the model's dtype "
                "(float16 overflows where bfloat16 does not)."
            )
        self._latent.append(codes.indices.cpu().numpy())
        self._value.append(value)
        self._row.append(codes.rows().cpu().numpy() + self._n_rows)
        self._n_rows += codes.n_rows
        self._n_entries += codes.nnz

    def flush_if_full(self) -> None:
        """Hand on what is collected once it is worth it; to be called between blocks."""
        if self._n_entries >= _ENTRIES_PER_CHUNK:
            self.flush()

    def flush(self) -> None:
        """Hand what is collected to all gatherers."""
        if not self._rows:
            return
        rows = join_rows(self._rows, gap=self._gap)
        latent = np.concatenate([np.empty(0, np.int32), *self._latent])
        value = np.concatenate([np.empty(0, np.float32), *self._value])
        row = np.concatenate([np.empty(0, np.int64), *self._row])
        self._rows, self._latent, self._value, self._row = [], [], [], []
        self.n_rows, self.next_block = self.n_rows + self._n_rows, self._block + 1
        self._n_rows = self._n_entries = 0
        firings = sort_firings(latent, value, row)
        for gatherer in self.gatherers.values():
            gatherer.add(rows, firings)

    def checkpoint(self, number: int) -> dict[str, int]:
        """Put down what was handed on, as checkpoint `number`. What `restore` needs to know besides."""
        for gatherer in self.gatherers.values():
            gatherer.checkpoint(number)
        return {"n_rows": self.n_rows, "next_block": self.next_block}

    def restore(self, number: int, told: Mapping[str, int]) -> None:
        """Go back to checkpoint `number`."""
        for gatherer in self.gatherers.values():
            gatherer.restore(number)
        self.n_rows, self.next_block = told["n_rows"], told["next_block"]

    def merge(self, other: "Gathered") -> None:
        """Take in what another process gathered of other blocks."""
        for name, gatherer in self.gatherers.items():
            gatherer.merge(other.gatherers[name])
        self.n_rows += other.n_rows
