"""Opens the effects of one (SAE, part): what `measuring.py` wrote. Needs no torch.

`effects.parquet` has one row per measured latent, `ablations.parquet` one per ablated firing by (latent, decile); both have a row
group for each LATENTS_PER_GROUP measured latents.
"""

import threading
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from monoseme.atlas.latents import LATENTS_PER_GROUP, Latents
from monoseme.atlas.pages import Ablation, LatentEffects, TokenChange
from monoseme.atlas.text_store import TextStore
from monoseme.core.artifact import MANIFEST, Artifact, open_artifact
from monoseme.core.errors import ArtifactDamagedError

EFFECTS_FILE, ABLATIONS_FILE = "effects.parquet", "ablations.parquet"
_TOKENS, _CHANGES = pa.list_(pa.int32()), pa.list_(pa.float32())
EFFECT_TYPES = pa.schema(
    [
        ("latent", pa.int32()),
        ("n", pa.int32()),
        ("loss_change", pa.float64()),
        ("standard_error", pa.float64()),
        ("loss_change_by_decile", pa.list_(pa.float64())),
        ("risen_tokens", _TOKENS),
        ("risen", _CHANGES),
        ("fallen_tokens", _TOKENS),
        ("fallen", _CHANGES),
        ("why_missing", pa.string()),
    ]
)
ABLATION_TYPES = pa.schema(
    [
        ("latent", pa.int32()),
        ("decile", pa.int8()),
        ("document", pa.int64()),
        ("position", pa.int64()),
        ("value", pa.float32()),
        ("next_token", pa.int32()),
        ("loss", pa.float64()),
        ("loss_change", pa.float64()),
    ]
)


def effects_folder(atlas: Path, key: str) -> Path:
    """Where the effects of one (SAE, part) lie."""
    return atlas / "effects" / key


class Effects:
    """The effects of the measured latents of one (SAE, part), opened."""

    def __init__(self, artifact: Artifact, text: TextStore) -> None:
        self.artifact, self._text = artifact, text
        self._effects = pq.ParquetFile(artifact.file(EFFECTS_FILE), memory_map=True)
        self._ablations = pq.ParquetFile(artifact.file(ABLATIONS_FILE), memory_map=True)
        self.latents = self._effects.read(columns=["latent"])["latent"].to_numpy()
        """The measured latents, ascending."""
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"Effects({str(self.artifact.path)!r})"

    def of(self, latent: int) -> LatentEffects | None:
        """What ablating a latent did; None for one that was not asked for."""
        place = int(np.searchsorted(self.latents, latent))
        if place == len(self.latents) or self.latents[place] != latent:
            return None
        group, within = divmod(place, LATENTS_PER_GROUP)
        with self._lock:  # a ParquetFile reads for one thread at a time
            row = self._effects.read_row_group(group, use_threads=False).slice(within, 1).to_pylist()[0]
            firings = self._ablations.read_row_group(group, use_threads=False)
        begin, end = np.searchsorted(firings["latent"].to_numpy(), [latent, latent + 1]).tolist()
        return LatentEffects(
            n=row["n"],
            loss_change=row["loss_change"],
            standard_error=row["standard_error"],
            loss_change_by_decile=tuple(row["loss_change_by_decile"]),
            risen=self._changes(row["risen_tokens"], row["risen"]),
            fallen=self._changes(row["fallen_tokens"], row["fallen"]),
            ablations=tuple(self._ablation(found) for found in firings.slice(begin, end - begin).to_pylist()),
            why_missing=row["why_missing"],
        )

    def _changes(self, tokens: list[int], changes: list[float]) -> tuple[TokenChange, ...]:
        pairs = zip(tokens, changes, strict=True)
        return tuple(TokenChange(token=token, text=self._text.token_text(token), log_p=change) for token, change in pairs)

    def _ablation(self, found: dict[str, float]) -> Ablation:
        values = {name: found[name] for name in Ablation.__dataclass_fields__ if name != "next_text"}
        return Ablation(next_text=self._text.token_text(int(found["next_token"])), **values)  # pyright: ignore[reportArgumentType]


def open_effects(atlas: Path, latents: Latents, text: TextStore) -> Effects | None:
    """The effects of these latents; None where none were measured. Raises ArtifactDamagedError for those of another scan."""
    path = effects_folder(atlas, latents.key)
    if not (path / MANIFEST).is_file():
        return None
    artifact = open_artifact(path, kind="atlas")
    if artifact.inputs.get("latents") != latents.content_hash:
        raise ArtifactDamagedError(f"{path} is about another scan of {latents.key}. Remove it and measure the effects again.")
    return Effects(artifact, text)
