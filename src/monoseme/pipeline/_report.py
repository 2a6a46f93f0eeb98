"""The report stage: everything measured of a run, with some latents to look at, as one page, figures and report.json."""

from pathlib import Path
from typing import Any

from monoseme.atlas import Atlas, open_atlas
from monoseme.atlas.pages import Example, LatentPage
from monoseme.core.artifact import open_artifact
from monoseme.core.display import get_display
from monoseme.evaluation import read_report
from monoseme.pipeline._folder import RunFolder, refuse_again
from monoseme.pipeline._precision import precision_line
from monoseme.pipeline._summary import kernels_line, speed_line
from monoseme.reports import LatentSample, RunReport, SaeReport, TokenExample, write_run_report
from monoseme.training import read_metrics

_N_SAMPLES = 12
"""Latents shown of each SAE: enough for an impression; the web app has all."""
_N_EXAMPLES = 4
_SCORE = "balanced_accuracy"
"""The number of the scorer `detection` by which latents are chosen; the table of latents has it as a column."""
_COLUMN = f"detection_{_SCORE}"


def report_run(run: RunFolder, *, overwrite: bool = False) -> None:
    """Writes the run's report from what is there; a stage that was not run is left out of it.

    Raises ArtifactExistsError unless `overwrite`, ArtifactMissingError without a finished SAE.
    """
    refuse_again(run.report, overwrite=overwrite)
    record = run.record()
    atlas = open_atlas(run.atlas) if "atlas" in record["artifacts"] else None
    report = RunReport(
        title=run.path.resolve().name,
        facts=_facts(record),
        saes=tuple(_sae_report(run, name, atlas) for name in run.sae_names()),
        training=tuple(read_metrics(run.training / "metrics.jsonl")),
        config=record["config"],
    )
    inputs = {f"sae/{name}": open_artifact(run.sae(name)).content_hash for name in run.sae_names()}
    write_run_report(report, run.report, inputs=inputs, overwrite=overwrite)
    run.add({"report": "report"})
    get_display().say(f"report -> {run.report / 'index.html'}")


def _facts(record: dict[str, Any]) -> dict[str, str]:
    config, speed = record["config"], record.get("environment", {}).get("speed")
    precision = record.get("environment", {}).get("precision", {})
    kernels = record.get("environment", {}).get("kernels", {})
    return {
        "Model": config["model"]["model"],
        **({"Precision": "; ".join(map(precision_line, precision.values()))} if precision else {}),
        "Site": ", ".join(sorted(set(record["jobs"].values()))),
        "Text": config["corpus"]["source"],
        **({"Training": speed_line(speed)} if speed else {}),
        **({"Kernels": kernels_line(kernels)} if kernels else {}),
        "Written by": f"monoseme {record['package_version']}",
    }


def _sae_report(run: RunFolder, name: str, atlas: Atlas | None) -> SaeReport:
    artifact = open_artifact(run.sae(name), kind="sae")
    evaluations = run.record()["artifacts"].get("evaluations", {}).get(name, {})
    trained = artifact.config["trained_as"]
    facts = {
        **({"k": str(trained["k"])} if "k" in trained else {}),
        "Latents": f"{artifact.config['n_latents']:,}",
        "Trained on": f"{artifact.config['tokens_trained']:,} tokens",
        "Site": ", ".join(artifact.config.get("sites") or [artifact.config["site"]]),
    }
    return SaeReport(
        name=name,
        architecture=trained["architecture"],
        facts=facts,
        results=tuple(read_report(run.path / Path(path)) for path in evaluations.values()),
        samples=() if atlas is None else _samples(atlas, name),
    )


def _samples(atlas: Atlas, name: str) -> tuple[LatentSample, ...]:
    """The best explained latents, for a first impression; it is the best that is shown, and the page says so.

    Of the first site where each has codes of its own; none where the SAE was not scanned.
    """
    key = next((key for key in atlas.saes() if atlas.latents(key).artifact.config["name"] == name), None)
    if key is None:
        return ()
    sort = _COLUMN if _COLUMN in atlas.table(key, limit=0).columns else "max"
    rows = atlas.table(key, sort=sort, descending=True, limit=_N_SAMPLES).rows
    return tuple(_sample(atlas.latent(key, row["latent"])) for row in rows if not row["is_dead"])


def _sample(page: LatentPage) -> LatentSample:
    explanation = next((said.text for said in page.explanations if said.text is not None), None)
    return LatentSample(
        latent=page.latent,
        density=page.stats.density,
        explanation=explanation,
        score=next((score for score in page.scores if score.name == _SCORE), None),
        top_tokens=tuple(logit.text for logit in page.top_logits),
        bottom_tokens=tuple(logit.text for logit in page.bottom_logits),
        examples=tuple(_example(example) for example in page.top[:_N_EXAMPLES]),
    )


def _example(example: Example) -> TokenExample:
    return TokenExample(
        tokens=example.texts,
        values=tuple(0.0 if value is None else value for value in example.values),
        source=example.labels.get("domain", example.source),
    )
