"""Reads what the first page of a run shows: its SAEs, what was measured on them, how training went."""

import json
from typing import TYPE_CHECKING, Any

from monoseme.core.artifact import open_artifact
from monoseme.core.config import suggest
from monoseme.pipeline import has_given_saes
from monoseme.web.overview._facts import corpus_name, domain_metrics, facts, metrics_at
from monoseme.web.overview.answers import Chart, MeasuredRun, RunOverview, RunSummary, SaeSummary
from monoseme.web.run_files import NotFoundError, RunFiles

if TYPE_CHECKING:
    from monoseme.reports.figures import Figure


class OverviewReader:
    """The overview of one run."""

    def __init__(self, files: RunFiles) -> None:
        self._files = files

    def summary(self) -> RunSummary:
        """One line about the run."""
        files = self._files
        return RunSummary(
            id=files.id,
            name=files.name,
            path=str(files.folder.path),
            model=files.model_name,
            site=files.sites,
            saes=files.sae_names(),
        )

    def overview(self) -> RunOverview:
        """The whole page."""
        files, record = self._files, self._files.record()
        return RunOverview(
            id=files.id,
            name=files.name,
            model=files.model_name,
            site=files.sites,
            corpus=corpus_name(record["config"]),
            has_given_saes=has_given_saes(record),
            facts=facts(record, files.scanned()),
            saes=[self._sae(key, name) for name in files.sae_paths() for key in files.keys_of(name)],
            charts=self._charts(),
        )

    def measured(self) -> MeasuredRun:
        """What was measured, for the comparison of runs."""
        files, record = self._files, self._files.record()
        return MeasuredRun(
            id=files.id,
            name=files.name,
            model=files.model_name,
            site=files.sites,
            facts=facts(record, files.scanned()),
            saes=[self._sae(name, name) for name in files.sae_paths()],
        )

    def sae(self, key: str) -> SaeSummary:
        """One SAE, or what was scanned of it. Raises NotFoundError."""
        return self._sae(key, self._files.sae(key).name)

    def chart(self, name: str) -> dict[str, Any]:
        """A figure of the report, as a Vega-Lite specification. Raises NotFoundError."""
        figures = self._figures()
        if name not in figures:
            raise NotFoundError(f"this run has no chart {name!r}.{suggest(name, figures)}")
        return figures[name].spec(width="container")

    def _sae(self, key: str, name: str) -> SaeSummary:
        """An SAE, or what was scanned of it under `key`."""
        files = self._files
        config = open_artifact(files.sae_paths()[name], kind="sae").config
        trained = config.get("trained_as", config)
        results = files.results(name)
        scanned = key in files.scanned()
        own_site = files.own_site(key)
        return SaeSummary(
            name=key,
            architecture=str(trained.get("architecture", "")),
            n_latents=config.get("n_latents"),
            site=files.read_by(key),
            has_atlas=scanned,
            scanned_as=tuple(each for each in files.keys_of(key) if each in files.scanned()),
            why_no_atlas="" if scanned else "Not scanned yet, so its latents cannot be browsed.",
            config=config,
            metrics=metrics_at(results, own_site),
            measured_as=f"the whole code of {name}" if results and files.sae(key).part is not None else "",
            domains=domain_metrics(results, own_site),
        )

    def _metrics(self) -> list[dict[str, Any]]:
        """The rows of training, none when they are not there or belong to a run that has not begun."""
        path = self._files.folder.path / self._files.record()["artifacts"].get("training", "training") / "metrics.jsonl"
        # As `monoseme.training.read_metrics`, which would import torch; the last line may be cut short by a kill.
        lines = path.read_bytes().split(b"\n")[:-1] if path.is_file() else []
        return [row for row in map(json.loads, lines) if "sae" in row and "tokens" in row]

    def _charts(self) -> list[Chart]:
        from monoseme.web.overview import _charts

        return _charts.listed(self._figures())

    def _figures(self) -> "dict[str, Figure]":
        from monoseme.web.overview import _charts  # with Altair

        results = {name: self._files.results(name) for name in self._files.sae_paths()}
        return _charts.figures(results, self._metrics())
