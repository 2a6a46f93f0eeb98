"""From a block of activations to the statistics of one SAE: encode valid rows, gather firings, hand them on in large chunks.

Letters: n contexts of a block, S positions, R valid rows, D model width.
"""

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from monoseme.atlas.firings import Rows, join_rows, sort_firings
from monoseme.atlas.needs import ScannedSAE
from monoseme.atlas.state import LatentState, StateConfig
from monoseme.atlas.text_store import TokenGrid, segment_starts
from monoseme.core.errors import ConfigError, UndefinedMetricError
from monoseme.models.site import Site
from monoseme.tensors.sparse import SparseCodes

_ENTRIES_PER_CHUNK = 1 << 20
"""Firings gathered before they are sorted and counted: about 60 MB at work, and costs per latent are paid rarely."""


class Target(NamedTuple):
    """One SAE to scan, and what to call it."""

    name: str
    sae: ScannedSAE
    site: Site
    """Which activations it reads."""
    part: str | None = None
    """Which part of its codes; None takes all of them."""
    sae_hash: str | None = None
    """Content hash of the `sae` artifact it came from; None hashes its weights."""

    @property
    def key(self) -> str:
        """Its name in the atlas: `name`, or `name.part`."""
        return self.name if self.part is None else f"{self.name}.{self.part}"


class BlockRows(NamedTuple):
    """The rows of one block that may reach an SAE."""

    valid: NDArray[np.bool_]
    """[n, S]"""
    rows: Rows


def block_rows(grid: TokenGrid, *, gap: int) -> BlockRows:
    """The valid rows of a block, placed so that windows stay inside a segment of document and context."""
    valid = grid.mask & (grid.documents >= 0)
    n_contexts, seq_len = grid.tokens.shape
    segment = np.cumsum(segment_starts(grid).reshape(-1))
    slot = np.arange(n_contexts * seq_len) + segment * gap
    context = np.repeat(np.arange(n_contexts), seq_len)
    flat = valid.reshape(-1)
    return BlockRows(valid, Rows(grid.documents[valid], grid.positions[valid], slot[flat], context[flat]))


class Feed:
    """Encodes blocks for one target and feeds its state."""

    def __init__(self, target: Target, config: StateConfig, *, rows_per_encode: int) -> None:
        if target.sae.reads != "tokens":
            raise ConfigError(
                f"{target.name} reads {target.sae.reads}, but a scan encodes single tokens. "
                "Scan an architecture that reads tokens."
            )
        self.target = target
        self.state = LatentState(target.sae.n_latents, config)
        self._rows_per_encode = rows_per_encode
        self._rows: list[Rows] = []
        self._latent: list[NDArray[np.int32]] = []
        self._value: list[NDArray[np.float32]] = []
        self._row: list[NDArray[np.int64]] = []
        self._n_rows = self._n_entries = 0

    @torch.no_grad()
    def add(self, activations_nSD: Tensor, block: BlockRows) -> None:
        """Encode the valid rows of a block. Raises UndefinedMetricError for codes that are not finite."""
        valid = torch.from_numpy(block.valid).to(activations_nSD.device)
        x_RD = activations_nSD[valid]
        self._rows.append(block.rows)
        for part in x_RD.split(self._rows_per_encode):
            self._gather(self.target.sae.encode(part).sparse(self.target.part))
        if self._n_entries >= _ENTRIES_PER_CHUNK:
            self.flush()

    def flush(self) -> None:
        """Hand what is gathered to the state; to be called once more after the last block."""
        if not self._rows:
            return
        rows = join_rows(self._rows, gap=self.state.config.gap)
        latent = np.concatenate([np.empty(0, np.int32), *self._latent])
        value = np.concatenate([np.empty(0, np.float32), *self._value])
        row = np.concatenate([np.empty(0, np.int64), *self._row])
        self._rows, self._latent, self._value, self._row = [], [], [], []
        self._n_rows = self._n_entries = 0
        self.state.add(rows, sort_firings(latent, value, row))

    def _gather(self, codes: SparseCodes) -> None:
        value = codes.values.float().cpu().numpy()
        if not np.isfinite(value).all():
            raise UndefinedMetricError(
                f"{self.target.key} gives codes that are not finite. Check the SAE and the model's dtype "
                "(float16 overflows where bfloat16 does not)."
            )
        self._latent.append(codes.indices.cpu().numpy())
        self._value.append(value)
        self._row.append(codes.rows().cpu().numpy() + self._n_rows)
        self._n_rows += codes.n_rows
        self._n_entries += codes.nnz
