"""The `report` artifact of an evaluation: `report.json` with every metric, and a Parquet file per table.

Written by `write_report` (the pipeline, `monoseme eval`), read by `read_report` (reports, web app, users).

    report.json   {"schema": 1, "evaluation": "fidelity", "subject": "topk",
                   "metrics": [{name, value, why_missing, unit, better, n, n_documents, standard_error, definition}, ...],
                   "facts": {...}, "tables": {"density": "tables/density.parquet", ...}}
    tables/*.parquet
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from monoseme.core.artifact import new_artifact, open_artifact
from monoseme.core.config import from_dict, to_dict
from monoseme.core.errors import ArtifactKindError
from monoseme.core.files import guard_disk, read_json, write_json
from monoseme.core.schema import SCHEMAS
from monoseme.evaluation._base import EvalResult
from monoseme.evaluation._metric import Metric

FILE = "report.json"


def metrics_to_json(metrics: tuple[Metric, ...]) -> list[dict[str, Any]]:
    """The metrics as JSON-able dictionaries, one key per field."""
    return [to_dict(metric) for metric in metrics]


def metrics_from_json(rows: list[dict[str, Any]]) -> tuple[Metric, ...]:
    """The inverse of `metrics_to_json`. Raises ConfigError for what is no metric."""
    return tuple(from_dict(Metric, row, where=f"metric {row.get('name', '?')}") for row in rows)


def write_report(
    result: EvalResult,
    path: Path,
    *,
    config: Mapping[str, Any],
    inputs: Mapping[str, str],
    seeds: Mapping[str, int] | None = None,
    environment: Mapping[str, Any] | None = None,
    overwrite: bool = False,
) -> None:
    """Writes the result as a `report` artifact at `path`.

    `config` is the whole resolved config, `inputs` the hashes of the SAE, model and text; `environment` holds timings.
    Raises ArtifactExistsError, DiskFullError.
    """
    with new_artifact(path, kind="report", config=config, inputs=inputs, seeds=seeds, overwrite=overwrite) as draft:
        for key, value in (environment or {}).items():
            draft.add_fact(key, value)
        tables = {name: f"tables/{name}.parquet" for name in sorted(result.tables)}
        for name, file in tables.items():
            (draft.folder / file).parent.mkdir(exist_ok=True)
            with guard_disk(path):
                pq.write_table(result.tables[name], draft.folder / file)
        content = {
            "schema": SCHEMAS["report"],
            "evaluation": result.evaluation,
            "subject": result.subject,
            "metrics": metrics_to_json(result.metrics),
            "facts": dict(result.facts),
            "tables": tables,
        }
        write_json(draft.folder / FILE, content)


def read_report(path: Path) -> EvalResult:
    """The result in the `report` artifact at `path`.

    Raises what `open_artifact` raises, and ArtifactKindError for a report that is not an evaluation's.
    """
    artifact = open_artifact(path, kind="report")
    content = read_json(artifact.file(FILE))
    if "evaluation" not in content:
        raise ArtifactKindError(f"{path} is a report, but not of an evaluation")
    return EvalResult(
        evaluation=content["evaluation"],
        subject=content["subject"],
        metrics=metrics_from_json(content["metrics"]),
        tables={name: pq.read_table(artifact.file(file)) for name, file in content["tables"].items()},
        facts=content["facts"],
    )
