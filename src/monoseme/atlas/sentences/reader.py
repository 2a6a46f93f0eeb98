"""Reads the ranked sentences of one (SAE, part): what `gathering.py` wrote. The text comes from the text store."""

import functools
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from monoseme.atlas.latents import LATENTS_PER_GROUP, Latents
from monoseme.atlas.sentences.gathering import PLACE, ranked_file
from monoseme.atlas.sentences.values import AGGREGATIONS
from monoseme.atlas.text_store import TextStore
from monoseme.core.artifact import Artifact, open_artifact
from monoseme.core.errors import ArtifactDamagedError, ArtifactMissingError, ConfigError

N_SHOWN_AS_LLAMA3 = 50
"""Sentences that llama3_interpretability_sae shows its judge: the last, which are the best (count)."""


@dataclass(frozen=True, kw_only=True)
class RankedSentence:
    """A sentence and what a latent is on it."""

    document: int
    """With a corpus of sentences, its number in reading order."""
    position: int
    """Of its first token in the document."""
    value: float
    """Mean, largest or last activation of the latent over the sentence's tokens."""
    tokens: tuple[int, ...]
    texts: tuple[str, ...]
    source: str
    """What the document was cut from."""
    labels: dict[str, str]
    """Labels of the document, such as its domain."""

    @property
    def text(self) -> str:
        """The sentence as it is read."""
        return "".join(self.texts)


class Sentences:
    """The best sentences of each latent, opened."""

    def __init__(self, artifact: Artifact, text: TextStore, *, as_llama3: bool = False) -> None:
        """Raises ArtifactMissingError if the scan did not rank in this way."""
        self.artifact, self.as_llama3, self._text = artifact, as_llama3, text
        names = ranked_file(as_llama3=as_llama3)
        if names.table not in artifact.manifest["files"]:
            raise ArtifactMissingError(f"{artifact.path} holds no {names.table}: the scan did not rank sentences in that way.")
        self._offsets = np.load(artifact.file(names.offsets), mmap_mode="r")
        self._table = pq.ParquetFile(artifact.file(names.table), memory_map=True)
        self._lock = threading.Lock()
        self._read = functools.lru_cache(maxsize=8)(self._rows)

    def __repr__(self) -> str:
        return f"Sentences({str(self.artifact.path)!r}, as_llama3={self.as_llama3})"

    @property
    def n_latents(self) -> int:
        """F."""
        return len(self._offsets) - 1

    def best(self, latent: int, aggregation: str = "mean", *, n: int | None = None) -> tuple[RankedSentence, ...]:
        """The latent's best `n` sentences (None: all kept), the best first. Raises ConfigError for what there is not."""
        return tuple(self._sentence(row) for row in self._rows_by(latent, aggregation)[:n])

    def shown_as_llama3(self, latent: int, aggregation: str = "mean") -> tuple[RankedSentence, ...] | None:
        """The best 50, the best last, as llama3_interpretability_sae shows them; None for a latent with fewer: it is left out.

        Source: five systems, 4.4; interpret_top_sentences_send_batches.py there.
        """
        rows = self._rows_by(latent, aggregation)[:N_SHOWN_AS_LLAMA3]
        return None if len(rows) < N_SHOWN_AS_LLAMA3 else tuple(self._sentence(row) for row in reversed(rows))

    def _rows_by(self, latent: int, aggregation: str) -> list[dict[str, Any]]:
        if aggregation not in AGGREGATIONS:
            raise ConfigError(f'sentences are not ranked by "{aggregation}".\n  Allowed: {", ".join(AGGREGATIONS)}')
        if not 0 <= latent < self.n_latents:
            raise ConfigError(f"there is no latent {latent}: they are 0 to {self.n_latents - 1:,}.")
        return [row for row in self._read(latent) if row["aggregation"] == aggregation]

    def _rows(self, latent: int) -> list[dict[str, Any]]:
        group, begin, end = latent // LATENTS_PER_GROUP, int(self._offsets[latent]), int(self._offsets[latent + 1])
        with self._lock:  # a ParquetFile reads for one thread at a time
            table = self._table.read_row_group(group)
        return table.slice(begin - int(self._offsets[group * LATENTS_PER_GROUP]), end - begin).to_pylist()

    def _sentence(self, row: dict[str, Any]) -> RankedSentence:
        document, position = row["document"], row["position"]
        tokens = self._text.segment(document, position).tokens.tolist()
        return RankedSentence(
            document=document,
            position=position,
            value=row["value"],
            tokens=tuple(tokens),
            texts=tuple(self._text.token_text(token) for token in tokens),
            source=self._text.source_of(document, position),
            labels=self._text.labels_of(document),
        )


def open_sentences(atlas: Path, latents: Latents, text: TextStore, *, as_llama3: bool = False) -> Sentences | None:
    """The ranked sentences of one (SAE, part); None where the scan ranked none.

    Raises ArtifactDamagedError for those of another scan, ArtifactMissingError where it ranked in the other way only.
    """
    path = Path(atlas) / PLACE / latents.key
    if not path.is_dir():
        return None
    artifact = open_artifact(path, kind="atlas")
    if artifact.inputs.get("latents") != latents.content_hash:
        raise ArtifactDamagedError(f"{path} ranks sentences of another scan of {latents.key} than this atlas holds. Scan again.")
    return Sentences(artifact, text, as_llama3=as_llama3)
