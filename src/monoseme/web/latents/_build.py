"""Makes the table of one SAE's latents out of an atlas, with its newest explanations and their scores. Columns, never rows."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from monoseme.atlas import Annotation, Atlas
from monoseme.atlas.annotations import table_path
from monoseme.atlas.latents import Latents
from monoseme.core.intervals import Z_95
from monoseme.web.latents._table import LatentsTable

_COUNTED = {
    "n_fired": "Scanned tokens on which it is not zero.",
    "n_documents": "Documents in which it fires.",
    "mean": "Mean of its activations where it is not zero.",
    "std": "Standard deviation of its activations where it is not zero.",
}
_OF_SCORE = {
    "score_low": "Lower end of the 95 % interval of the score: score - 1.96 standard errors.",
    "score_n": "Held-out firings or excerpts that the score rests on.",
}
_STATED = ("is_dead", "why_missing", "top_texts")
"""Columns that a statement can name, but that are not numbers."""


class _Scores(NamedTuple):
    """The scores of the newest explanations."""

    columns: dict[str, pa.Array]
    definitions: dict[str, str]
    headline: str
    """The column that the table shows first; empty where there is none."""
    headline_name: str
    of_headline: dict[str, pa.Array]
    """Its `score_low` and `score_n`; none where there is none."""


def latents_table(atlas: Atlas, sae: str, annotations: Sequence[Annotation]) -> LatentsTable:
    """The table of one SAE with its newest explanations and the newest number of each scorer of them."""
    latents = atlas.latents(sae)
    n = latents.n_latents
    path = latents.artifact.file("latents.parquet")
    held = pq.read_schema(path).names  # one of an older layout has not all
    further = [name for name in (*_COUNTED, *_STATED) if name in held]
    read = pq.read_table(path, columns=["density", "max", "example_texts", *further])
    explained = next((a for a in annotations if a.holds == "explanations"), None)
    scores, roles = _scores(annotations, explained, n), _roles(latents)
    columns = {
        "index": np.arange(n),
        "density": read["density"],
        "max": read["max"],
        "explanation": _texts(explained, n),
        "score": scores.columns.get(scores.headline, pa.nulls(n, pa.float64())),
        **scores.of_headline,
        "top_tokens": read["example_texts"],
        **{name: read[name] for name in further},
        **roles,
        **scores.columns,
    }
    told = {name: f"Density over the tokens of the role {name.removeprefix('density_')}." for name in roles}
    definitions = _COUNTED | _OF_SCORE | told | scores.definitions
    return LatentsTable(
        pa.table(columns), sae=sae, score_name=scores.headline_name, definitions=definitions, n_tokens=latents.n_tokens
    )


def _roles(latents: Latents) -> dict[str, pa.Array]:
    return {f"density_{role}": pa.array(densities) for role, densities in latents.role_densities().items()}


def _scores(annotations: Sequence[Annotation], explained: Annotation | None, n: int) -> _Scores:
    """A column for each number; of two annotations of one scorer, the newer one's."""
    found = _Scores({}, {}, "", "", {})
    if explained is None:
        return found
    for annotation in annotations:  # the newest first
        config = annotation.artifact.config
        if annotation.holds != "scores" or config["explanations"] != explained.label:
            continue
        if not found.headline:
            named = f"{config['scorer']}_{config['headline']}"
            beside = _beside(annotation, config["headline"], n)
            found = found._replace(headline=named, headline_name=config["headline"], of_headline=beside)
        values = _values(annotation, n)
        for name in (name for name in config["definitions"] if name in values):
            found.columns.setdefault(f"{config['scorer']}_{name}", values[name])
            found.definitions.setdefault(f"{config['scorer']}_{name}", config["definitions"][name])
    return found


def _texts(explained: Annotation | None, n: int) -> pa.Array:
    if explained is None:
        return pa.nulls(n, pa.string())
    rows = pq.read_table(table_path(explained), columns=["latent", "text"])
    return _placed(rows["text"], rows["latent"].to_numpy(), n)


def _values(scores: Annotation, n: int) -> dict[str, pa.Array]:
    """Each number of a part of scores, over all activations."""
    path = table_path(scores)
    has_deciles = "decile" in pq.read_schema(path).names  # those of an older layout have none
    whole = pc.field("decile").is_null() if has_deciles else None
    rows = pq.read_table(path, columns=["latent", "name", "value"], filters=whole)
    coded = rows["name"].combine_chunks().dictionary_encode()
    code, latent, value = coded.indices.to_numpy(), rows["latent"].to_numpy(), rows["value"].combine_chunks()
    found = dict[str, pa.Array]()
    for i, name in enumerate(coded.dictionary.to_pylist()):
        of_name = np.nonzero(code == i)[0]
        found[name] = _placed(value.take(pa.array(of_name)), latent[of_name], n)
    return found


def _beside(scores: Annotation, name: str, n: int) -> dict[str, pa.Array]:
    """The lower end of a number's interval, and how much it rests on; over all activations."""
    path = table_path(scores)
    is_whole = pc.field("name") == name
    if "decile" in pq.read_schema(path).names:
        is_whole &= pc.field("decile").is_null()
    rows = pq.read_table(path, columns=["latent", "value", "standard_error", "n"], filters=is_whole)
    value, error, latent = (rows[name].to_numpy() for name in ("value", "standard_error", "latent"))
    low = pa.array(value - Z_95 * error, from_pandas=True)
    return {"score_low": _placed(low, latent, n), "score_n": _placed(rows["n"], latent, n)}


def _placed(values: "pa.Array | pa.ChunkedArray", latent: np.ndarray, n: int) -> pa.Array:
    """[n]: each value at its latent, null where a latent has none."""
    row = np.full(n, -1, dtype=np.int64)
    row[latent] = np.arange(len(latent))
    placed = values.take(pa.array(row, mask=row < 0))
    return placed.combine_chunks() if isinstance(placed, pa.ChunkedArray) else placed
