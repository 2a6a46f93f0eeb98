"""Gathers the best sentences of each latent while a pass goes by.

Written to `sentences/KEY/`, read by `reader.py`: `sentences.parquet`, or `argmax_as_llama3.parquet`, one row per kept sentence by
(latent, aggregation, rank), LATENTS_PER_GROUP latents to a row group, with `*_offsets.npy` int64 [F + 1].

Letters: F latents, U sentences, P pairs of a latent and a sentence.
"""

from pathlib import Path
from typing import NamedTuple, Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from monoseme.atlas.keys import descending
from monoseme.atlas.latents import LATENTS_PER_GROUP
from monoseme.atlas.scanning.firings import Firings, Rows
from monoseme.atlas.scanning.gatherer import GathererSpec
from monoseme.atlas.scanning.npz_file import read_npz, write_npz
from monoseme.atlas.scanning.reservoir import Entries, Reservoir
from monoseme.atlas.sentences.values import (
    AGGREGATIONS,
    SentenceRows,
    SentenceValues,
    sentence_rows,
    sentence_values,
    strongest_latents,
)
from monoseme.atlas.text_store import TextStore
from monoseme.core.errors import ConfigError

PLACE = "sentences"
N_BEST_AS_LLAMA3 = 100
"""Sentences that pipeline keeps per latent (count)."""


class RankedFile(NamedTuple):
    """Where one ranking lies in an artifact."""

    table: str
    offsets: str


def ranked_file(*, as_llama3: bool) -> RankedFile:
    """The files of a ranking."""
    name = "argmax_as_llama3" if as_llama3 else "sentences"
    return RankedFile(f"{name}.parquet", f"{name}_offsets.npy")


def rank_sentences(*, n_best: int = 100, argmax_as_llama3: bool = False) -> GathererSpec:
    """What a scan gathers to rank the sentences of a text for every latent: the `n_best` by each aggregation.

    `argmax_as_llama3` ranks as llama3_interpretability_sae does: a sentence counts for one latent per aggregation, that of the
    largest value, and each latent keeps 100; of equal values the later sentences stay. Most latents then have few sentences.
    Raises ConfigError for less than one sentence, or another number than 100 as llama3.
    """
    if n_best < 1:
        raise ConfigError(f"n_best is {n_best}, but a ranking keeps at least 1 sentence.")
    if argmax_as_llama3 and n_best != N_BEST_AS_LLAMA3:
        raise ConfigError(f"n_best is {n_best}, but argmax_as_llama3 keeps {N_BEST_AS_LLAMA3}. Leave n_best out.")

    def make(n_latents: int, *, n_contexts: int, context_len: int, scratch: Path) -> SentenceGatherer:  # noqa: ARG001
        return SentenceGatherer(n_latents, scratch, n_best=n_best, as_llama3=argmax_as_llama3)

    return GathererSpec("argmax_as_llama3" if argmax_as_llama3 else "sentences", make, place=PLACE)


class SentenceGatherer:
    """The best sentences of F latents; memory O(F * 3 * n_best) however long the text."""

    def __init__(self, n_latents: int, scratch: Path, *, n_best: int, as_llama3: bool) -> None:
        self.n_latents, self._scratch, self._n_best, self._as_llama3 = n_latents, scratch, n_best, as_llama3
        self._best = self._empty()

    def add(self, rows: Rows, firings: Firings) -> None:
        """Take in one chunk of whole contexts."""
        if not len(rows.document):
            return
        sentences = sentence_rows(rows)
        found = sentence_values(sentences, firings)
        for number, name in enumerate(AGGREGATIONS):
            if self._as_llama3:
                chosen = strongest_latents(found, name, len(sentences.document))
                self._offer(number, name, chosen, sentences, np.arange(len(chosen.latent)))
            else:
                self._offer(number, name, found, sentences, np.nonzero(found.by[name] > 0)[0])

    def checkpoint(self, number: int) -> None:
        """Put the kept sentences down beside those before."""
        kept = self._best.entries()
        write_npz(self._file(number), group=kept.group, key=kept.key, document=kept.document, position=kept.position)
        self._file(number - 2).unlink(missing_ok=True)

    def restore(self, number: int) -> None:
        """Take up the sentences of that checkpoint."""
        self._best = self._empty()
        group, key, document, position = read_npz(self._file(number), "group", "key", "document", "position")
        self._best.offer(Entries(group, key, document, position, {}))

    def merge(self, other: Self) -> None:
        """Take in the sentences of other contexts."""
        self._best.merge(other._best)

    def write(self, folder: Path, text: TextStore) -> None:  # noqa: ARG002 - other gatherers write what a text shows
        """Write the ranking's two files."""
        kept = self._best.entries()
        aggregation, latent = np.divmod(kept.group, self.n_latents)
        rank = np.arange(len(kept.group)) - np.searchsorted(kept.group, kept.group, side="left")
        order = np.lexsort((rank, aggregation, latent))
        offsets = np.searchsorted(latent[order], np.arange(self.n_latents + 1)).astype(np.int64)
        document = np.abs(kept.document) if self._as_llama3 else kept.document
        columns = {
            "latent": latent.astype(np.int32),
            "aggregation": pa.DictionaryArray.from_arrays(aggregation[order].astype(np.int8), list(AGGREGATIONS)),
            "rank": rank.astype(np.int16),
            "document": document,
            "position": kept.position,
            "value": _values_of(kept.key),
        }
        table = pa.table({name: col if name == "aggregation" else col[order] for name, col in columns.items()})
        names = ranked_file(as_llama3=self._as_llama3)
        np.save(folder / names.offsets, offsets)
        with pq.ParquetWriter(folder / names.table, table.schema, compression="zstd") as writer:
            for first in range(0, self.n_latents, LATENTS_PER_GROUP):
                begin, end = int(offsets[first]), int(offsets[min(first + LATENTS_PER_GROUP, self.n_latents)])
                writer.write_table(table.slice(begin, end - begin), row_group_size=max(1, end - begin))

    def _offer(self, number: int, name: str, found: SentenceValues, sentences: SentenceRows, at: NDArray[np.int64]) -> None:
        group = number * self.n_latents + found.latent[at]
        key = descending(found.by[name][at])
        entering = self._best.may_enter(group, key)
        at, group, key = at[entering], group[entering], key[entering]
        document = sentences.document[found.sentence[at]]
        if self._as_llama3:
            document = -document  # ties go to the smallest here, and there to the latest
        self._best.offer(Entries(group, key, document, sentences.position[found.sentence[at]], {}))

    def _empty(self) -> Reservoir:
        return Reservoir(len(AGGREGATIONS) * self.n_latents, self._n_best, distinct_documents=False, payload={})

    def _file(self, number: int) -> Path:
        return self._scratch / f"sentences.{number}.npz"


def _values_of(keys: NDArray[np.uint64]) -> NDArray[np.float32]:
    """The values whose `descending` keys these are."""
    return (np.uint64(0xFFFF_FFFF) - keys).astype(np.uint32).view(np.float32)
