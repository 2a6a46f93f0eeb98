"""Opens the relations of one (SAE, part): what `relating.py` wrote. Needs no torch.

`relations.parquet` has one row per pair of a latent and another that is among its best in one of three orders, with all that is
known of the pair; a row group per LATENTS_PER_GROUP latents.
"""

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from monoseme.atlas.latents import LATENTS_PER_GROUP, Latents
from monoseme.atlas.pages import Related
from monoseme.core.artifact import MANIFEST, Artifact, open_artifact
from monoseme.core.errors import ArtifactDamagedError

RELATIONS_FILE = "relations.parquet"
RELATION_TYPES = pa.schema(
    [
        ("latent", pa.int32()),
        ("other", pa.int32()),
        ("n_fired", pa.int64()),
        ("n_other", pa.int64()),
        ("n_together", pa.int64()),
        ("jaccard", pa.float64()),
        ("lift", pa.float64()),
        ("correlation", pa.float64()),
        ("cosine", pa.float32()),
        ("coactivation_rank", pa.int16()),
        ("correlation_rank", pa.int16()),
        ("cosine_rank", pa.int16()),
    ]
)
RANKS = ("coactivation_rank", "correlation_rank", "cosine_rank")


def relations_folder(atlas: Path, key: str) -> Path:
    """Where the relations of one (SAE, part) lie."""
    return atlas / "relations" / key


class Relations:
    """The relations of the latents of one (SAE, part), opened."""

    def __init__(self, artifact: Artifact) -> None:
        self.artifact = artifact
        self._file = pq.ParquetFile(artifact.file(RELATIONS_FILE), memory_map=True)
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"Relations({str(self.artifact.path)!r})"

    @property
    def n_tokens(self) -> int:
        """Kept tokens that they were counted on (count)."""
        return int(self.artifact.config["n_tokens"])

    @property
    def why_no_cosines(self) -> str | None:
        """Why no pair has a cosine; None where they have."""
        return self.artifact.config["why_no_cosines"]

    def of(self, latent: int) -> dict[str, tuple[Related, ...]]:
        """The latents that go with this one, the best first, in each of the orders RANKS."""
        with self._lock:  # a ParquetFile reads for one thread at a time
            table = self._file.read_row_group(latent // LATENTS_PER_GROUP, use_threads=False)
        begin, end = np.searchsorted(table["latent"].to_numpy(), [latent, latent + 1]).tolist()
        rows: list[dict[str, Any]] = table.slice(begin, end - begin).to_pylist()
        return {order: _in_order(rows, order) for order in RANKS}


def _in_order(rows: list[dict[str, Any]], order: str) -> tuple[Related, ...]:
    ranked = sorted((row for row in rows if row[order] is not None), key=lambda row: row[order])
    return tuple(Related(**{name: row[name] for name in Related.__dataclass_fields__}) for row in ranked)


def open_relations(atlas: Path, latents: Latents) -> Relations | None:
    """The relations of these latents; None where none were made. Raises ArtifactDamagedError for those of another scan."""
    path = relations_folder(atlas, latents.key)
    if not (path / MANIFEST).is_file():
        return None
    artifact = open_artifact(path, kind="atlas")
    if artifact.inputs.get("latents") != latents.content_hash:
        raise ArtifactDamagedError(f"{path} is about another scan of {latents.key}. Remove it and relate the latents again.")
    return Relations(artifact)
