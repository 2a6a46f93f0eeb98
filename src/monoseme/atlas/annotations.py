"""Annotation parts of an atlas: explanations and scores, appended beside the scan and never changed.

Each lies in `annotations/<key>/<label>/` as an `atlas` artifact whose manifest names the hash of what it annotates, so that
scanning, explaining and serving go on at once, and an annotation of another scan is refused.
"""

import functools
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from monoseme.atlas.judgements import JUDGEMENTS, Judgement, judgements_table
from monoseme.atlas.latents import Latents
from monoseme.atlas.said import Condition, Explanation, Rule, Score
from monoseme.core.artifact import MANIFEST, Artifact, new_artifact, open_artifact
from monoseme.core.errors import ArtifactDamagedError, ArtifactExistsError, ConfigError
from monoseme.core.files import typed

_EXPLANATIONS, _SCORES = "explanations.parquet", "scores.parquet"
_EXPLANATION_TYPES = pa.schema(
    [
        ("latent", pa.int32()),
        ("text", pa.string()),
        ("why_missing", pa.string()),
        ("rules", pa.string()),
        ("habits", pa.string()),
        ("n_firings", pa.int64()),
        ("n_background", pa.int64()),
        ("details", pa.string()),
    ]
)
_SCORE_TYPES = pa.schema(
    [
        ("latent", pa.int32()),
        ("name", pa.string()),
        ("value", pa.float64()),
        ("why_missing", pa.string()),
        ("n", pa.int64()),
        ("standard_error", pa.float64()),
        ("low", pa.float64()),
        ("high", pa.float64()),
        ("decile", pa.int8()),
    ]
)


@dataclass(frozen=True, kw_only=True)
class Annotation:
    """One annotation part, opened."""

    label: str
    artifact: Artifact

    @property
    def holds(self) -> str:
        """`explanations` or `scores`."""
        return self.artifact.config["holds"]

    @property
    def started(self) -> str:
        """When it was made (UTC, ISO 8601); the newest is shown first."""
        return str(self.artifact.environment.get("started", ""))


def annotations_folder(atlas: Path, key: str) -> Path:
    """Where the annotations of one (SAE, part) lie."""
    return atlas / "annotations" / key


def check_free(atlas: Path, key: str, label: str) -> Path:
    """The folder of a new annotation; raises ArtifactExistsError or ConfigError if the label cannot be used."""
    if not label or label.startswith(".") or set(label) & set("/\\\0"):
        raise ConfigError(f'"{label}" cannot label an annotation: it names a folder.')
    path = annotations_folder(atlas, key) / label
    if path.exists():
        raise ArtifactExistsError(
            f"{key} has an annotation called {label} already, and annotations never change.\n"
            f"  Give the new one another label, such as:  --label {label}-2\n"
            f"  or remove the old folder and the scores of it:  {path}"
        )
    return path


def write_explanations(path: Path, explanations: Iterable[Explanation], *, about: Latents, config: Mapping[str, Any]) -> None:
    """Append a part of explanations; `config` says which explainer made it, and how."""
    rows = [
        {name: getattr(said, name) for name in _EXPLANATION_TYPES.names}
        | {"rules": _rules_text(said.rules), "habits": _rules_text(said.habits)}
        for said in explanations
    ]
    described = {"holds": "explanations", "key": about.key, **config}
    with new_artifact(path, kind="atlas", config=described, inputs={"latents": about.content_hash}) as draft:
        table = pa.Table.from_pylist(rows, schema=_EXPLANATION_TYPES)
        pq.write_table(table, draft.folder / _EXPLANATIONS, compression="zstd")


def write_scores(
    path: Path,
    scores: Iterable[Score],
    *,
    about: Latents,
    explanations: Annotation,
    config: Mapping[str, Any],
    judgements: Sequence[Judgement] = (),
) -> None:
    """Append a part of scores of one part of explanations; `config` has the scorer and the definitions of its numbers.

    `judgements` is read when all scores have come, so that it may grow with them; without any there is no file of them.
    """
    rows = [{name: getattr(score, name) for name in _SCORE_TYPES.names} for score in scores]
    described = {"holds": "scores", "key": about.key, "explanations": explanations.label, **config}
    inputs = {"latents": about.content_hash, "explanations": explanations.artifact.content_hash}
    with new_artifact(path, kind="atlas", config=described, inputs=inputs) as draft:
        pq.write_table(pa.Table.from_pylist(rows, schema=_SCORE_TYPES), draft.folder / _SCORES, compression="zstd")
        if judgements:
            pq.write_table(judgements_table(judgements), draft.folder / JUDGEMENTS, compression="zstd")


def open_annotations(atlas: Path, about: Latents) -> list[Annotation]:
    """All finished annotations of one (SAE, part), the newest first.

    Raises ArtifactDamagedError for one that annotates another scan.
    """
    folder = annotations_folder(atlas, about.key)
    paths = sorted(path.parent for path in folder.glob(f"*/{MANIFEST}") if not path.parent.name.startswith("."))
    found = [Annotation(label=path.name, artifact=open_artifact(path, kind="atlas")) for path in paths]
    for annotation in found:
        if annotation.artifact.inputs.get("latents") != about.content_hash:
            raise ArtifactDamagedError(
                f"{annotation.artifact.path} annotates another scan of {about.key} than this atlas holds.\n"
                f"  Explain again, after removing it:  rm -r {typed(annotation.artifact.path)}"
            )
    return sorted(found, key=lambda annotation: annotation.started, reverse=True)


def read_explanations(annotation: Annotation, *, latent: int | None = None) -> list[Explanation]:
    """The explanations of a part, or of one latent of it."""
    rows = _rows(annotation, latent)
    rules = [(_rules_of(row.pop("rules")), _rules_of(row.pop("habits"))) for row in rows]
    return [
        Explanation(**row, rules=said, habits=habits, source=annotation.label)
        for row, (said, habits) in zip(rows, rules, strict=True)
    ]


def read_scores(annotation: Annotation, *, latent: int | None = None) -> list[Score]:
    """The scores of a part, or of one latent of it."""
    return [Score(**row, source=annotation.label) for row in _rows(annotation, latent)]


def read_judgements(annotation: Annotation, *, latent: int | None = None) -> list[Judgement]:
    """Every single judgement behind the scores of a part, or of one latent of it; none where nothing was judged one by one."""
    if JUDGEMENTS not in annotation.artifact.manifest["files"]:
        return []
    path = annotation.artifact.file(JUDGEMENTS)
    return [Judgement(**row) for row in _picked(_table(path, annotation.artifact.content_hash), latent)]


def table_path(annotation: Annotation) -> Path:
    """The Parquet file of a part, for queries."""
    return annotation.artifact.file(_EXPLANATIONS if annotation.holds == "explanations" else _SCORES)


def _rows(annotation: Annotation, latent: int | None) -> list[dict[str, Any]]:
    return _picked(_table(table_path(annotation), annotation.artifact.content_hash), latent)


def _picked(table: pa.Table, latent: int | None) -> list[dict[str, Any]]:
    if latent is not None:
        table = table.take(np.nonzero(table["latent"].to_numpy() == latent)[0])
    return table.to_pylist()


@functools.lru_cache(maxsize=16)
def _table(path: Path, content_hash: str) -> pa.Table:
    """Annotations never change, so each is read once; the hash tells a removed one from another under its name."""
    del content_hash
    return pq.read_table(path)


def _rules_text(rules: Iterable[Rule]) -> str:
    return json.dumps([asdict(rule) for rule in rules], ensure_ascii=False, allow_nan=False)


def _rules_of(text: str) -> tuple[Rule, ...]:
    return tuple(Rule(**(rule | {"condition": Condition(**rule["condition"])})) for rule in json.loads(text))
