"""A run's report as an artifact: numbers for programs, a page for people, figures for papers.

Written by the pipeline and `monoseme report`; `report.json` is read by users' own tools and the web app.

    report.json      {"schema": 1, "title": "demo", "facts": {...},
                      "saes": {"topk": {"architecture": "topk", "facts": {...},
                                        "metrics": [{name, value, why_missing, unit, better, n, n_documents, standard_error,
                                                     definition}, ...],
                                        "explanations": [{explanations, scorer, name, definition, own, controls, deciles,
                                                          n_missing}, ...]}}}; own and the others are {mean, low, high, n_latents}
    index.html       self-contained; opens from disk without a network
    figures/*.{svg,json}   the same figures as files; the JSON is the Vega-Lite specification (png and pdf on request)
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from monoseme.atlas.pages import plain
from monoseme.core.artifact import new_artifact
from monoseme.core.files import write_atomic, write_json
from monoseme.core.schema import SCHEMAS
from monoseme.evaluation import metrics_to_json
from monoseme.reports._data import RunReport
from monoseme.reports._sections import figures_of
from monoseme.reports.html import render_html


def report_json(report: RunReport) -> dict[str, Any]:
    """The content of `report.json`."""
    saes = {
        sae.name: {
            "architecture": sae.architecture,
            "facts": dict(sae.facts),
            "metrics": metrics_to_json(tuple(sae.metrics())),
            "explanations": plain(sae.scores),
        }
        for sae in report.saes
    }
    return {"schema": SCHEMAS["report"], "title": report.title, "facts": dict(report.facts), "saes": saes}


def write_run_report(
    report: RunReport,
    path: Path,
    *,
    inputs: Mapping[str, str],
    formats: tuple[str, ...] = ("svg", "json"),
    environment: Mapping[str, Any] | None = None,
    overwrite: bool = False,
) -> None:
    """Writes the report at `path`; `inputs` are the content hashes of what it was made from, `formats` of the figures' files.

    Raises ArtifactExistsError, DiskFullError; ConfigError for an unknown format.
    """
    with new_artifact(path, kind="report", config=dict(report.config), inputs=inputs, overwrite=overwrite) as draft:
        for key, value in (environment or {}).items():
            draft.add_fact(key, value)
        write_json(draft.folder / "report.json", report_json(report))
        write_atomic(draft.folder / "index.html", render_html(report))
        for figure in figures_of(report):
            for kind in formats:
                figure.save(draft.folder / "figures" / f"{figure.name}.{kind}")
