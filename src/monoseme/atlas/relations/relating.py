"""Relates every latent to all others: co-activation and correlation on the kept codes, and the cosine of what they write.

A slice of latents at a time, so that memory is bounded however many latents there are; a slice that is written stays, so that a
killed run goes on with the next, and processes that share a disk may take slices of one SAE in turn.

Letters: F latents, w latents of a slice, C numbers that a latent writes (D, or L times D at L sites).
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from monoseme.atlas.atlas import Atlas
from monoseme.atlas.kept_codes import KeptCodes
from monoseme.atlas.latents import LATENTS_PER_GROUP, Latents
from monoseme.atlas.relations._nearest import best, cosines, unit_rows
from monoseme.atlas.relations._pairs import Pairs, Sums, pairs_of, sums_of
from monoseme.atlas.relations.reading import RANKS, RELATION_TYPES, RELATIONS_FILE, relations_folder
from monoseme.atlas.slices import Slices
from monoseme.core.artifact import exists_error, new_artifact
from monoseme.core.config import to_dict
from monoseme.core.display import get_display
from monoseme.core.errors import ArtifactMissingError, ConfigError
from monoseme.core.files import hash_bytes, typed

_NUMBERS_AT_ONCE = 1 << 21
"""Pairs of latents that are measured at once: about 200 MB at work."""


@dataclass(frozen=True, kw_only=True)
class RelationsConfig:
    """What is kept of how latents go together."""

    n_best: int = 20
    """Others kept for each latent in each order: by Jaccard index, by correlation, by cosine (count)."""

    def __post_init__(self) -> None:
        if self.n_best < 1:
            raise ConfigError(f"n_best is {self.n_best}, but must be at least 1.")


class Written(NamedTuple):
    """What each latent adds to the reconstruction, [F, C], or why that is not known."""

    vectors: NDArray[np.floating] | None
    why_missing: str | None = None


def relate_latents(atlas: Atlas, sae: str, *, written: Written, config: RelationsConfig | None = None) -> Path:
    """Relate the latents of one SAE of an atlas and write what was found beside them; gives back the folder.

    The numbers are exact on the kept codes. Correlations are ordered by their size, whatever their sign; the others from large to
    small. Killed, it goes on when it is called again with the same arguments.
    Raises ArtifactExistsError, ArtifactMissingError for latents without kept codes, ConfigError for vectors of another SAE.
    """
    config = config or RelationsConfig()
    latents = atlas.latents(sae)
    path = relations_folder(atlas.path, sae)
    if path.exists():
        raise exists_error(path)
    kept = latents.kept_codes()
    if kept is None:
        raise ArtifactMissingError(
            f"{latents.artifact.path} holds no kept codes: it was scanned without, and relations are counted on them.\n"
            f"  Scan again into another folder:  monoseme scan SAE --out {typed(f'{atlas.path}.related')}"
        )
    if written.vectors is not None and len(written.vectors) != latents.n_latents:
        raise ConfigError(f"{sae} has {latents.n_latents:,} latents, but the vectors given are of {len(written.vectors):,}.")
    described = _described(latents, kept, written, config)
    slices = Slices(path, {"latents": latents.content_hash, **described})
    _relate(slices, kept, written, config, label=sae)
    with new_artifact(path, kind="atlas", config=described, inputs={"latents": latents.content_hash}) as draft:
        _join(draft.folder / RELATIONS_FILE, slices, latents.n_latents)
    slices.remove()
    return path


def _described(latents: Latents, kept: KeptCodes, written: Written, config: RelationsConfig) -> dict[str, Any]:
    vectors = None if written.vectors is None else hash_bytes(np.ascontiguousarray(written.vectors).tobytes())
    return {
        "holds": "relations",
        "name": latents.key,
        "n_latents": latents.n_latents,
        "n_tokens": kept.n_tokens,
        "n_contexts": len(kept.ordinals),
        "vectors": vectors,
        "why_no_cosines": written.why_missing,
        "relations": to_dict(config),
    }


def _relate(slices: Slices, kept: KeptCodes, written: Written, config: RelationsConfig, *, label: str) -> None:
    sums = sums_of(kept)
    unit = None if written.vectors is None else unit_rows(written.vectors)
    with get_display().progress(f"relate {label}", total=kept.n_latents, unit="latents") as progress:
        for latents in _ranges(kept.n_latents):
            if not slices.has(latents.start):
                pairs = pairs_of(kept, sums, latents)
                cosine = np.full(pairs.jaccard.shape, np.nan, np.float32) if unit is None else cosines(unit, latents)
                slices.put(latents.start, {RELATIONS_FILE: _rows(pairs, cosine, sums, config.n_best)})
            progress.advance(len(latents))


def _ranges(n_latents: int) -> Iterator[range]:
    """Slices of whole row groups."""
    width = max(1, _NUMBERS_AT_ONCE // n_latents // LATENTS_PER_GROUP) * LATENTS_PER_GROUP
    return (range(first, min(first + width, n_latents)) for first in range(0, n_latents, width))


def _rows(pairs: Pairs, cosine: NDArray[np.float32], sums: Sums, n_best: int) -> pa.Table:
    """The pairs that are among the best in one of the orders, sorted by (latent, other)."""
    n_latents = cosine.shape[1]
    orders = {
        "coactivation_rank": best(pairs.jaccard, n_best, above=0),
        "correlation_rank": best(np.abs(pairs.correlation), n_best, above=0),
        "cosine_rank": best(cosine, n_best, above=-np.inf),
    }
    flat = np.unique(np.concatenate([found.row * n_latents + found.other for found in orders.values()]))
    row, other = np.divmod(flat, n_latents)
    columns: dict[str, Any] = {
        "latent": row + pairs.first,
        "other": other,
        "n_fired": sums.n_fired[row + pairs.first],
        "n_other": sums.n_fired[other],
        "n_together": pairs.n_together[row, other],
        "jaccard": pairs.jaccard[row, other],
    }
    for name, values in (("lift", pairs.lift), ("correlation", pairs.correlation), ("cosine", cosine)):
        columns[name] = pa.array(values[row, other], mask=np.isnan(values[row, other]))
    for name in RANKS:
        rank = np.full(len(flat), -1)
        rank[np.searchsorted(flat, orders[name].row * n_latents + orders[name].other)] = orders[name].rank
        columns[name] = pa.array(rank, mask=rank < 0)
    return pa.table({field.name: pa.array(columns[field.name]).cast(field.type) for field in RELATION_TYPES})


def _join(path: Path, slices: Slices, n_latents: int) -> None:
    with pq.ParquetWriter(path, RELATION_TYPES, compression="zstd") as writer:
        for latents, file in zip(_ranges(n_latents), slices.tables(RELATIONS_FILE), strict=True):
            table = pq.read_table(file)
            bounds = [*range(latents.start, latents.stop, LATENTS_PER_GROUP), latents.stop]
            for begin, end in itertools.pairwise(np.searchsorted(table["latent"].to_numpy(), bounds).tolist()):
                # an empty group is written too, so that a latent's group is its number // LATENTS_PER_GROUP
                writer.write_table(table.slice(begin, end - begin), row_group_size=max(1, end - begin))
