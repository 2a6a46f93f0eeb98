"""Writes what a scan found of the latents of one (SAE, part): an immutable artifact of Parquet tables and arrays.

Read by `latents.py`; DuckDB reads the tables too. Files:

| file | rows |
|---|---|
| `latents.parquet` | one per latent: counts, moments, decile edges, tokens of its logits and its strongest examples |
| `examples.parquet` | shown examples by (latent, decile, rank), LATENTS_PER_GROUP latents to a row group |
| `example_offsets.npy` | int64 [F + 1]: where each latent's examples begin |
| `firings.parquet` | the uniform sample of firings by latent, in row groups likewise: latent, document, position, value, window |
| `firing_offsets.npy` | int64 [F + 1]: where each latent's sampled firings begin |
| `background.parquet` | the uniform sample of tokens: document, position |
| `background_codes.parquet` | their non-zero codes by (latent, row): latent, row, value |
| `histograms.npy` | int64 [F, N_BINS], bins of `bins.bin_edges` |
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from monoseme.atlas.latents import LATENTS_PER_GROUP
from monoseme.atlas.scanning.logits import LatentLogits
from monoseme.atlas.scanning.reservoir import Entries
from monoseme.atlas.scanning.select import ExampleRows, choose_examples, decile_edges
from monoseme.atlas.scanning.state import LatentState
from monoseme.atlas.text_store import TextStore


class LogitFacts(NamedTuple):
    """Direct logit attribution of all latents, or why there is none."""

    logits: LatentLogits | None
    why_missing: str | None


def write_latents(folder: Path, state: LatentState, *, logits: LogitFacts, text: TextStore, n_per_decile: int) -> None:
    """Write all files of a latents artifact into `folder`."""
    examples = choose_examples(state, text, n_per_decile=n_per_decile)
    columns = _latent_columns(state) | {"n_near_duplicates": examples.n_near_duplicates}
    columns |= _logit_columns(logits, text, state.n_latents)
    _write(folder / "latents.parquet", columns | {"example_texts": _example_texts(examples, text, state.n_latents)})
    ranks = {"decile": pa.array(examples.decile, pa.int8(), mask=examples.decile < 0), "rank": examples.rank}
    _write_windows(folder, "example", examples.latent, examples.entries, state.n_latents, more=ranks)
    sample = state.sample.entries()
    _write_windows(folder, "firing", sample.group, sample, state.n_latents, more={})
    kept = state.background.kept()
    _write(folder / "background.parquet", {"document": kept.document, "position": kept.position})
    _write(folder / "background_codes.parquet", {"latent": kept.latent, "row": kept.row, "value": kept.value})
    np.save(folder / "histograms.npy", state.histogram)


def _write(path: Path, columns: Mapping[str, object]) -> None:
    pq.write_table(pa.table(dict(columns)), path, compression="zstd")


def _latent_columns(state: LatentState) -> dict[str, object]:
    fired = state.n_fired > 0
    n_documents = state.n_documents()
    never = f"never fired in {state.n_rows:,} tokens"
    edges = np.where(fired[:, None], decile_edges(state), 0.0)
    return {
        "latent": np.arange(state.n_latents, dtype=np.int32),
        "n_fired": state.n_fired,
        "density": state.n_fired / state.n_rows,
        "n_negative": state.n_negative,
        "n_contexts": state.n_contexts,
        "n_documents": n_documents,
        "n_documents_is_exact": n_documents < state.config.n_counted_documents,
        "max": _or_null(state.maximum, fired),
        "mean": _or_null(state.mean, fired),
        "std": _or_null(np.sqrt(state.variance), fired),
        "deciles": pa.array(edges.tolist(), pa.list_(pa.float64()), mask=~fired),
        "is_dead": ~fired,
        "why_missing": pa.array(np.where(fired, "", never), pa.string(), mask=fired),
    }


def _or_null(values: NDArray, known: NDArray[np.bool_]) -> pa.Array:
    return pa.array(values, mask=~known)


def _logit_columns(facts: LogitFacts, text: TextStore, n_latents: int) -> dict[str, object]:
    types = {"tokens": pa.int32(), "logits": pa.float32(), "texts": pa.string()}
    columns: dict[str, object] = {}
    for end in ("top", "bottom"):
        for name, kind in types.items():
            if facts.logits is None:
                columns[f"{end}_{name}"] = pa.nulls(n_latents, pa.list_(kind))
                continue
            source = "tokens" if name == "texts" else name
            rows = getattr(facts.logits, f"{end}_{source}").tolist()
            rows = [[text.token_text(token) for token in row] for row in rows] if name == "texts" else rows
            columns[f"{end}_{name}"] = pa.array(rows, pa.list_(kind))
    return columns | {"why_no_logits": pa.array([facts.why_missing] * n_latents, pa.string())}


def _example_texts(rows: ExampleRows, text: TextStore, n_latents: int) -> pa.Array:
    """The distinct tokens of each latent's strongest examples, the strongest first."""
    top = np.nonzero(rows.decile < 0)[0]
    tokens = text.gather(rows.entries.document[top], rows.entries.position[top], [0])[:, 0]
    found: list[dict[str, None]] = [{} for _ in range(n_latents)]
    for latent, token in zip(rows.latent[top].tolist(), tokens.tolist(), strict=True):
        found[latent].setdefault(text.token_text(token))
    return pa.array([list(seen) for seen in found], pa.list_(pa.string()))


def _write_windows(
    folder: Path, name: str, latent: NDArray[np.int64], entries: Entries, n_latents: int, *, more: Mapping[str, Any]
) -> None:
    """Write entries, sorted by latent, as NAMEs.parquet and NAME_offsets.npy. `more`: columns after the latent's number.

    A latent's row group is its number // LATENTS_PER_GROUP, so a group without entries is written too.
    """
    columns = {"latent": latent.astype(np.int32), **more, "document": entries.document, "position": entries.position}
    table = pa.table({**columns, "value": entries.payload["value"]})
    schema = table.schema.append(pa.field("window", pa.list_(pa.float32(), entries.payload["window"].shape[1])))
    offsets = np.searchsorted(latent, np.arange(n_latents + 1))
    np.save(folder / f"{name}_offsets.npy", offsets.astype(np.int64))
    with pq.ParquetWriter(folder / f"{name}s.parquet", schema, compression="zstd") as writer:
        for first in range(0, n_latents, LATENTS_PER_GROUP):
            begin, end = int(offsets[first]), int(offsets[min(first + LATENTS_PER_GROUP, n_latents)])
            group = table.slice(begin, end - begin).append_column(schema.field("window"), _windows(entries, begin, end))
            writer.write_table(group, row_group_size=max(1, end - begin))


def _windows(entries: Entries, begin: int, end: int) -> pa.Array:
    """Activations around some entries: the kept ratios times the entry's own."""
    values = entries.payload["window"][begin:end].astype(np.float32) * entries.payload["value"][begin:end, None]
    return pa.FixedSizeListArray.from_arrays(pa.array(values.reshape(-1), pa.float32()), values.shape[1])
