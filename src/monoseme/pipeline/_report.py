"""The report stage: everything measured of a run, with some latents to look at, as one page, figures and report.json."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from monoseme.atlas import Atlas, open_atlas
from monoseme.atlas.pages import Example, LatentPage
from monoseme.atlas.score_summary import CONTROLS, ScoreSummary, summaries_of
from monoseme.core.artifact import open_artifact
from monoseme.core.display import get_display
from monoseme.evaluation import read_report
from monoseme.pipeline._folder import RunFolder, has_given_saes, refuse_again, settings_in_use
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
    report = gathered_report(run)
    inputs = {f"sae/{name}": open_artifact(run.sae(name)).content_hash for name in run.sae_names()}
    write_run_report(report, run.report, inputs=inputs, overwrite=overwrite)
    run.add({"report": "report"})
    get_display().say(f"report -> {run.report / 'index.html'}")


def gathered_report(run: RunFolder, names: Sequence[str] | None = None) -> RunReport:
    """What a report of the run shows, of these SAEs alone or (None) of all; nothing is written."""
    record = run.record()
    atlas = open_atlas(run.atlas) if "atlas" in record["artifacts"] else None
    chosen = run.sae_names() if names is None else names
    curves = run.training / "metrics.jsonl"
    rows = read_metrics(curves) if curves.is_file() else []
    return RunReport(
        title=run.path.resolve().name,
        facts=_facts(record),
        saes=tuple(_sae_report(run, name, atlas) for name in chosen),
        training=tuple(row for row in rows if names is None or row.get("sae", chosen[0]) in chosen),
        config=settings_in_use(record),
        has_given_saes=has_given_saes(record),
    )


def _facts(record: dict[str, Any]) -> dict[str, str]:
    config, speed = record["config"], record.get("environment", {}).get("speed")
    precision = record.get("environment", {}).get("precision", {})
    kernels = record.get("environment", {}).get("kernels", {})
    return {
        "Model": config["model"]["model"],
        **({"Precision": "; ".join(map(precision_line, precision.values()))} if precision else {}),
        "Site": ", ".join(sorted(set(record["jobs"].values()))),
        ("Measured on" if has_given_saes(record) else "Text"): config["corpus"]["source"],
        **({"Training": "how it was trained is not known here"} if has_given_saes(record) else {}),
        **({"Training": speed_line(speed)} if speed else {}),
        **({"Kernels": kernels_line(kernels)} if kernels else {}),
        "Written by": f"monoseme {record['package_version']}",
    }


def _sae_report(run: RunFolder, name: str, atlas: Atlas | None) -> SaeReport:
    artifact = open_artifact(run.sae(name), kind="sae")
    evaluations = run.record()["artifacts"].get("evaluations", {}).get(name, {})
    trained = artifact.config.get("trained_as", artifact.config)
    n_trained = artifact.config.get("tokens_trained")
    facts = {
        **({"k": str(trained["k"])} if "k" in trained else {}),
        "Latents": f"{artifact.config['n_latents']:,}",
        **({} if n_trained is None else {"Trained on": f"{n_trained:,} tokens"}),
        "Site": ", ".join(artifact.config.get("sites") or [artifact.config["site"]]),
    }
    key = None if atlas is None else _key(atlas, name)
    return SaeReport(
        name=name,
        architecture=trained["architecture"],
        facts=facts,
        results=tuple(read_report(run.path / Path(path)) for path in evaluations.values()),
        samples=() if key is None or atlas is None else _samples(atlas, key),
        scores=() if key is None or atlas is None else _scores(atlas, key),
    )


def _key(atlas: Atlas, name: str) -> str | None:
    """What the atlas calls the SAE, at its first site where each has codes of its own; None where it was not scanned."""
    return next((key for key in atlas.saes() if atlas.latents(key).artifact.config["name"] == name), None)


def _scores(atlas: Atlas, key: str) -> tuple[ScoreSummary, ...]:
    """All scores of all explanations, the oldest first."""
    return tuple(summary for part in reversed(atlas.annotations(key)) for summary in summaries_of(part))


def _samples(atlas: Atlas, key: str) -> tuple[LatentSample, ...]:
    """The best explained latents, by the lower end of the score's interval, for a first impression; what shows them says so."""
    columns = atlas.table(key, limit=0).columns
    sort = next(name for name in (f"{_COLUMN}_low", _COLUMN, "max") if name in columns)
    rows = atlas.table(key, sort=sort, descending=True, limit=_N_SAMPLES).rows
    scored = {part.label: part.artifact.config["explanations"] for part in atlas.annotations(key) if part.holds == "scores"}
    return tuple(_sample(atlas.latent(key, row["latent"]), scored) for row in rows if not row["is_dead"])


def _sample(page: LatentPage, scored: Mapping[str, str]) -> LatentSample:
    """With its newest explanation that has a score; `scored`: label of scores -> label of the explanations that they are of."""
    known = [score for score in page.scores if score.name == _SCORE and score.decile is None and score.value is not None]
    score = known[0] if known else None
    wanted = [said for said in page.explanations if score is None or said.source == scored[score.source]]
    controls = [f"{_SCORE}_{control}" for control in CONTROLS]
    return LatentSample(
        latent=page.latent,
        density=page.stats.density,
        explanation=next((said.text for said in wanted if said.text is not None), None),
        score=score,
        controls=tuple(other for other in page.scores if score and other.source == score.source and other.name in controls),
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
