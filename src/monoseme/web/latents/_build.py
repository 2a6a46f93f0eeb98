"""Makes the table of one SAE's latents out of an atlas, with its newest explanations and their scores."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from monoseme.atlas import Annotation, Atlas
from monoseme.atlas.annotations import table_path
from monoseme.web.latents._table import LatentsTable

_TOP_TOKENS = 6
"""Tokens named per latent in the table (count)."""


class _Scored(NamedTuple):
    """The scores that the table shows."""

    name: str
    annotation: Annotation | None


def latents_table(atlas: Atlas, sae: str, annotations: Sequence[Annotation]) -> LatentsTable:
    """The table of one SAE with its newest explanations and their scores."""
    latents = atlas.latents(sae)
    n = latents.n_latents
    explained = next((a for a in annotations if a.holds == "explanations"), None)
    scored = _headline(annotations, explained)
    columns = {
        "index": np.arange(n),
        "density": latents.densities(),
        "max": pa.array(latents.column("max"), pa.float64()),
        "explanation": _texts(explained, n),
        "score": _values(scored, n),
        "top_tokens": pa.array([texts[:_TOP_TOKENS] for texts in latents.column("example_texts")], pa.list_(pa.string())),
    }
    return LatentsTable(pa.table(columns), sae=sae, score_name=scored.name)


def _headline(annotations: Sequence[Annotation], explained: Annotation | None) -> _Scored:
    if explained is None:
        return _Scored("", None)
    about = (a for a in annotations if a.holds == "scores" and a.artifact.config["explanations"] == explained.label)
    found = next(about, None)
    return _Scored("", None) if found is None else _Scored(found.artifact.config["headline"], found)


def _texts(explained: Annotation | None, n: int) -> pa.Array:
    texts: list[str | None] = [None] * n
    if explained is not None:
        rows = pq.read_table(table_path(explained), columns=["latent", "text"])
        for latent, text in zip(rows["latent"].to_pylist(), rows["text"].to_pylist(), strict=True):
            texts[latent] = text
    return pa.array(texts, pa.string())


def _values(scored: _Scored, n: int) -> pa.Array:
    values: list[float | None] = [None] * n
    if scored.annotation is not None:
        chosen = pc.field("name") == scored.name
        path = table_path(scored.annotation)
        if "decile" in pq.read_schema(path).names:  # those of an older layout have none
            chosen &= pc.field("decile").is_null()
        rows = pq.read_table(path, columns=["latent", "value"], filters=chosen)
        for latent, value in zip(rows["latent"].to_pylist(), rows["value"].to_pylist(), strict=True):
            values[latent] = value
    return pa.array(values, pa.float64())
