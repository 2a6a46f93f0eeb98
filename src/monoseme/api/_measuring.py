"""Measures and describes SAEs: evaluate, scan, explain, score, search, report, verify."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from monoseme.api._latent_table import LatentTable
from monoseme.api._metric_table import MetricTable
from monoseme.api._places import atlas_at, model_of, saes_of, word_of, words_of
from monoseme.api._run import Run
from monoseme.api._sae import Sae
from monoseme.api._settings import Settings, changed, nested, words
from monoseme.core.errors import ArtifactMissingError, ConfigError

if TYPE_CHECKING:
    from monoseme.atlas import Atlas
    from monoseme.atlas.verify import Verification
    from monoseme.pipeline import Outcome


def evaluate(
    place: "Run | Sae | Path | str",
    evaluations: str | Sequence[str] = (),
    *,
    part: str | Sequence[str] = (),
    overwrite: bool = False,
    model: str | Path | None = None,
    corpus: str | Path | None = None,
) -> MetricTable:
    """Measures SAEs on held-out text of their run, or of `corpus`: none named, the evaluations that the run's config has.

    `model`: in place of the run's, unless the place was opened with one. Of a whole run, reports are written into it; of one SAE,
    a checkpoint, parts of codes, or with another model or text, nothing is. Raises ArtifactExistsError for what was measured
    before, unless `overwrite`, and ConfigError for `overwrite` where nothing is written.
    """
    from monoseme.models import ModelConfig
    from monoseme.pipeline import (
        OF_RUN,
        RUN_FILE,
        Materials,
        evaluate_run,
        evaluation_of,
        find_saes,
        measure,
        run_of,
        settings_for,
    )
    from monoseme.text import CorpusConfig

    word, names, parts = word_of(place), words(evaluations), words(part)
    in_model, run = model_of(place, model), run_of(word)
    is_of_run = in_model is None and corpus is None
    if run.path == Path(word) and (run.path / RUN_FILE).is_file() and is_of_run and not parts:
        found = evaluate_run(run, names or None, overwrite=overwrite)
        told = {sae: [metric for result in made.values() for metric in result.metrics] for sae, made in found.items()}
        return MetricTable(metrics=told, title=f"Metrics of {run.path.name}")
    if overwrite and not is_of_run:
        raise ConfigError("with another model or text nothing is written.\n  Leave out overwrite=")
    found_saes = find_saes([word])
    asked = ModelConfig(model=in_model or OF_RUN)
    text = CorpusConfig(source=OF_RUN if corpus is None else str(corpus))
    own = found_saes[0].run if is_of_run else None
    sites = list(dict.fromkeys(site for sae in found_saes for site in sae.named.sites))
    materials = Materials(own or settings_for(found_saes, model=asked, corpus=text), sites=sites)
    saes = [materials.take(sae.named) for sae in found_saes]
    told = {}
    for name in names or materials.config.evaluations:
        for result in measure(saes, materials, evaluation_of(name, materials.config), parts=parts or ("all",)):
            told.setdefault(result.subject, []).extend(result.metrics)
    return MetricTable(metrics=told, title=f"Metrics of {Path(word).name}")


def scan(
    place: Any, *, out: str | Path | None = None, part: str | None = None, corpus: str | Path | None = None,
    settings: Settings | None = None, resume: bool = False,
) -> "Atlas":  # fmt: skip
    """Finds what each latent responds to, in one pass over the text: the atlas.

    Of a run alone, into its own; else of one SAE or several, over their run's text or another `corpus`, into the folder `out`.
    Raises ConfigError for `part`, `corpus` or a place that was opened with a model without `out`.
    """
    from monoseme.atlas import open_atlas
    from monoseme.models import ModelConfig
    from monoseme.pipeline import OF_RUN, RunFolder, ScanRequest, ScanSettings, run_config, scan_run, scan_saes
    from monoseme.text import CorpusConfig

    in_model = model_of(place)
    if out is None:
        if part is not None or corpus is not None or in_model is not None:
            raise ConfigError("a part, another text or another model goes into an atlas of its own.\n  Name its folder: out=")
        run = RunFolder(Path(word_of(place)))
        own = run_config(run).atlas
        base = ScanSettings(**{name: getattr(own, name) for name in ScanSettings.__dataclass_fields__})
        scan_run(run, settings=changed(base, settings), resume=resume)
        return open_atlas(run.atlas)
    text = CorpusConfig(source=OF_RUN if corpus is None else str(corpus))
    base = ScanRequest(saes=words_of(place), out=Path(out), part=part, corpus=text, settings=changed(ScanSettings(), settings))
    asked = base if in_model is None else replace(base, model=ModelConfig(model=in_model))
    scan_saes(asked, resume=resume)
    return open_atlas(Path(out))


def explain(
    place: Any, explainer: str | None = None, *, scorer: str | None = None, judge: str | None = None,
    sae: str | Sequence[str] = (), settings: Settings | None = None, dry_run: bool = False,
) -> "Outcome":  # fmt: skip
    """Explains latents of a scanned run or an atlas, and scores what is said. `settings` as `explainer.n_top`, `which.sample`.

    What is not said is as the run's own config has it; an explainer other than its own goes without scores unless a `scorer` is
    named. `dry_run` tells what a judge would cost, and stops.
    """
    from monoseme.pipeline import AtlasPlace, ExplainConfig, explain_atlas, run_config

    found = AtlasPlace.at(Path(word_of(place)))
    base = ExplainConfig() if found.run is None else run_config(found.run).atlas.explain
    said: dict[str, Any] = {}
    if explainer is not None and explainer != base.explainer:
        said |= {"explainer": explainer, "explainer_config": {}, "scorer": None, "scorer_config": {}}
    if scorer is not None:
        said |= {"scorer": scorer, "scorer_config": {}}
    if judge is not None:
        said |= {"judge": judge}
    config = changed(base, _of_plugins(said, settings, ("explainer", "scorer", "judge")))
    outcome = explain_atlas(found, config, saes=words(sae), dry_run=dry_run)
    if outcome.labels and found.run is not None:
        found.run.add({"explanations": "atlas/annotations"})
    return outcome


def score(
    place: Any, scorer: str = "detection", *, explanations: str | None = None, judge: str | None = None,
    sae: str | Sequence[str] = (), settings: Settings | None = None, dry_run: bool = False,
) -> "Outcome":  # fmt: skip
    """Scores explanations (a label; None: the newest) on documents that made none of them."""
    from monoseme.pipeline import AtlasPlace, ScoreConfig, score_atlas

    said = {"scorer": scorer, "explanations": explanations, "judge": judge}
    config = changed(ScoreConfig(), _of_plugins(said, settings, ("scorer", "judge")))
    return score_atlas(AtlasPlace.at(Path(word_of(place))), config, saes=words(sae), dry_run=dry_run)


def search(
    place: Any, query: str = "", *, text: str | None = None, where: str | None = None,
    sae: str | None = None, model: str | None = None, n: int = 20,
) -> LatentTable:  # fmt: skip
    """Finds latents: by words of explanations (`model`: a sentence model, by meaning), by a text on which they fire, by numbers.

    Raises ConfigError where nothing is asked, ArtifactMissingError before a scan.
    """
    atlas = atlas_at(place)
    if not (query or text or where):
        raise ConfigError('search needs words, text= or where=.\n  Type, for example:  search(run, "cats")')
    if text is not None and (query or where):
        raise ConfigError("text= searches for a phrase alone.\n  Leave out where= and other words.")
    rows: list[dict[str, Any]] = []
    for key in saes_of(atlas, place, sae):
        if where is not None:
            found = _by_numbers(atlas, key, query, where=where, n=n)
        elif text is not None:
            found = _by_text(atlas, key, text, n=n)
        else:
            found = _by_explanation(atlas, key, query, model=model, n=n)
        rows += [{"SAE": key, **row} for row in found]
    return LatentTable(rows=rows, title=f"Latents found in {atlas.path.parent.name or atlas.path.name}")


def report(place: "Run | Path | str", *, overwrite: bool = False) -> Path:
    """Writes the report of a run, one HTML page with figures; gives its path."""
    from monoseme.pipeline import RunFolder, report_run

    run = RunFolder(Path(word_of(place)))
    report_run(run, overwrite=overwrite)
    return run.report / "index.html"


def verify(
    place: Any, *, sae: str | Sequence[str] = (), model: str | None = None, settings: Settings | None = None
) -> "Verification":
    """Computes a random sample of an atlas again and compares; `is_sound` says whether it agrees."""
    from monoseme.atlas.verify import VerifyConfig
    from monoseme.models import ModelConfig
    from monoseme.pipeline import verify_place

    in_model = model_of(place, model)
    asked = None if in_model is None else ModelConfig(model=in_model)
    return verify_place(Path(word_of(place)), saes=words_of(words(sae)), model=asked, config=changed(VerifyConfig(), settings))


def _of_plugins(said: dict[str, Any], settings: Settings | None, names: Sequence[str]) -> dict[str, Any]:
    """`explainer.n_top` is a setting of the explainer, `desk` and `which` are tables, the rest is as it is called."""
    made = dict(said)
    for name, value in nested(settings).items():
        if name in names:
            if not isinstance(value, dict):
                raise ConfigError(f"{name} is an argument, not one of the settings")
            made[f"{name}_config"] = {**made.get(f"{name}_config", {}), **value}
        else:
            made[name] = value
    return made


def _by_explanation(atlas: "Atlas", key: str, query: str, *, model: str | None, n: int) -> list[dict[str, Any]]:
    from monoseme.atlas.annotations import read_explanations
    from monoseme.atlas.search import search_by_meaning, search_explanations
    from monoseme.atlas.sentence_model import SentenceModel

    said = [one for part in atlas.annotations(key) if part.holds == "explanations" for one in read_explanations(part)]
    hits = search_explanations(said, query, n=n) if model is None else search_by_meaning(said, query, SentenceModel(model), n=n)
    return [hit.facts() for hit in hits]


def _by_numbers(atlas: "Atlas", key: str, query: str, *, where: str, n: int) -> list[dict[str, Any]]:
    table = atlas.table(key, where=where, search=query, limit=n)
    asked = [name for name in table.columns if name in where]
    shown = dict.fromkeys(("latent", "density", "max", *asked, "explanation"))
    return [{name: row.get(name) for name in shown} for row in table.rows]


def _by_text(atlas: "Atlas", key: str, text: str, *, n: int) -> list[dict[str, Any]]:
    from monoseme.atlas.search import find_phrase, latents_there

    there = latents_there(atlas.latents(key), atlas.text, find_phrase(atlas.text, text), n=n)
    if there.why_missing:
        raise ArtifactMissingError(f"{key}: {there.why_missing}")
    return [one._asdict() for one in there.latents]
