"""Reads a run folder for the pages: `run.json`, the SAEs' manifests, evaluations, training metrics, atlas.

Everything is looked up when a page asks, so that a run which is still being evaluated, scanned or explained shows more at the
next reload. What is slow to build (the atlas, its tables) is kept until the files it was built from are others. Imports that
bring torch or Altair with them wait for the page that needs them, so that the server itself starts at once.
"""

import json
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from monoseme.core.artifact import open_artifact
from monoseme.core.config import from_dict, suggest
from monoseme.core.errors import ArtifactMissingError
from monoseme.core.files import typed
from monoseme.evaluation import EvalResult, read_report
from monoseme.pipeline import RunFolder
from monoseme.web import _schema as schema
from monoseme.web._data import LatentQuery, NotFoundError
from monoseme.web._facts import corpus_name, domain_metrics, facts, metric

if TYPE_CHECKING:
    from monoseme.atlas import Annotation, Atlas
    from monoseme.reports.figures import Figure
    from monoseme.web._prompt import AskedSAE, ModelLoader, PromptReader
    from monoseme.web._table import LatentsTable


class FolderRun:
    """One run folder. Safe to ask from several threads."""

    def __init__(self, path: Path, *, id: str, model_loader: "ModelLoader | None") -> None:
        """Raises ArtifactError if the folder is not a run that this version reads."""
        self.id = id
        self._run = RunFolder(path)
        self._record = self._run.record
        self._record()
        self._loader = model_loader
        self._prompts: PromptReader | None = None
        self._lock = threading.Lock()
        self._atlas: Atlas | None = None
        self._tables: dict[str, tuple[tuple[str, ...], LatentsTable]] = {}

    def __repr__(self) -> str:
        return f"FolderRun({str(self._run.path)!r}, id={self.id!r})"

    def summary(self) -> schema.RunSummary:
        """One line about the run."""
        record = self._record()
        return schema.RunSummary(
            id=self.id,
            name=self._name,
            path=str(self._run.path),
            model=_model_name(record),
            site=_sites(record),
            saes=self._saes(),
        )

    def overview(self) -> schema.RunOverview:
        """The whole first page."""
        record = self._record()
        return schema.RunOverview(
            id=self.id,
            name=self._name,
            model=_model_name(record),
            site=_sites(record),
            corpus=corpus_name(record["config"]),
            facts=facts(record, self._scanned()),
            saes=[self._sae(key, name, record) for name in record["artifacts"].get("saes", {}) for key in self._keys_of(name)],
            charts=self._charts(record),
        )

    def chart(self, name: str) -> dict[str, Any]:
        """A figure of the report."""
        record = self._record()
        figures = self._figures(record)
        if name not in figures:
            raise NotFoundError(f"this run has no chart {name!r}.{suggest(name, figures)}")
        return figures[name].spec(width="container")

    def latents(self, sae: str, query: LatentQuery) -> schema.LatentTable:
        """A page of the table."""
        return self._table(sae).page(query)

    def latent(self, sae: str, index: int) -> schema.LatentDetail:
        """The page of a latent."""
        from monoseme.web import _latents

        atlas = self._atlas_with(sae)
        self._check(atlas, sae, index)
        return _latents.detail(atlas.latent(sae, index), atlas.annotations(sae))

    def latent_chart(self, sae: str, index: int) -> dict[str, Any]:
        """The histogram of a latent."""
        atlas = self._atlas_with(sae)
        self._check(atlas, sae, index)
        found = atlas.latents(sae).histogram(index)
        if found is None:
            raise NotFoundError(f"latent {index} never fired, so there is no histogram")
        from monoseme.web import _charts

        return _charts.histogram(schema.Histogram(edges=list(found.edges), counts=list(found.counts)))

    def card(self, sae: str, index: int) -> schema.LatentCard:
        """The card of a latent."""
        from monoseme.web import _latents

        atlas = self._atlas_with(sae)
        self._check(atlas, sae, index)
        return _latents.card(atlas.latent(sae, index), self._table(sae).rows([index])[index])

    def random_latent(self, sae: str) -> int:
        """Some latent that fires."""
        index = self._table(sae).random_alive()
        if index is None:
            raise NotFoundError(f"every latent of {sae} is dead on the scanned text")
        return index

    def read_prompt(self, sae: str, text: str) -> schema.PromptReading:
        """The latents of an SAE on a text; works without an atlas, then with no explanations."""
        # Torch and transformers take seconds to import, and no other page needs them.
        from monoseme.web._prompt import over_prompt

        record = self._record()
        read = self._prompt_reader(record).read(text, self._asked(sae, record))
        rows = self._table(sae).rows if sae in self._scanned() else lambda _: {}
        latents = over_prompt(read.tokens, rows)
        return schema.PromptReading(
            sae=sae,
            text=text,
            tokens=read.tokens,
            latents=latents,
            n_latents_fired=len(latents),
            truncated=read.truncated,
            seconds=read.seconds,
        )

    def _prompt_reader(self, record: dict[str, Any]) -> "PromptReader":
        from monoseme.models import ModelConfig
        from monoseme.web._prompt import PromptReader, load_model

        with self._lock:
            if self._prompts is None:
                config = record["config"]
                self._prompts = PromptReader(
                    from_dict(ModelConfig, config.get("model", {}), where=f"{self._run.path}: model"),
                    loader=self._loader or load_model,
                    begins_with_bos=config.get("corpus", {}).get("bos", "auto") != "never",
                )
            return self._prompts

    @property
    def _name(self) -> str:
        return self._run.path.resolve().name

    def _saes(self) -> list[str]:
        """Names of the SAEs, those of their scanned parts behind them."""
        names = list(self._record()["artifacts"].get("saes", {}))
        return names + [key for key in self._scanned() if key not in names]

    def _scanned(self) -> dict[str, int]:
        """(SAE, part) in the atlas -> tokens scanned; empty while there is none."""
        atlas = self._open_atlas()
        return {} if atlas is None else {key: atlas.latents(key).n_tokens for key in atlas.saes()}

    def _open_atlas(self) -> "Atlas | None":
        with self._lock:
            if self._atlas is None and "atlas" in self._record()["artifacts"]:
                from monoseme.atlas import open_atlas

                self._atlas = open_atlas(self._run.atlas)
            return self._atlas

    def _atlas_with(self, sae: str) -> "Atlas":
        """The atlas, once it is sure to hold `sae`."""
        atlas, names = self._open_atlas(), self._saes()
        if sae not in names:
            raise NotFoundError(f"this run has no SAE {sae!r}.{suggest(sae, names)}")
        if atlas is None or sae not in atlas.saes():
            raise ArtifactMissingError(
                f"{sae} has not been scanned, so its latents cannot be shown.\n"
                f"  Scan it with:  monoseme scan {typed(self._run.path)}"
            )
        return atlas

    def _check(self, atlas: "Atlas", sae: str, index: int) -> None:
        n_latents = atlas.latents(sae).n_latents
        if index >= n_latents:
            raise NotFoundError(f"{sae} has no latent {index:,}\n  Its latents are numbered 0 to {n_latents - 1:,}.")

    def _table(self, sae: str) -> "LatentsTable":
        """The table of latents, built anew when there are new annotations."""
        from monoseme.web import _latents

        atlas = self._atlas_with(sae)
        annotations: list[Annotation] = atlas.annotations(sae)
        stamp = (atlas.latents(sae).content_hash, *(annotation.artifact.content_hash for annotation in annotations))
        with self._lock:
            found = self._tables.get(sae)
            if found is None or found[0] != stamp:
                found = self._tables[sae] = (stamp, _latents.latents_table(atlas, sae, annotations))
            return found[1]

    def _asked(self, sae: str, record: dict[str, Any]) -> "AskedSAE":
        """The SAE behind a name that may be that of a scanned part or site."""
        from monoseme.models import Site
        from monoseme.web._prompt import AskedSAE

        names = record["artifacts"].get("saes", {})
        described: dict[str, Any] = {"name": sae, "part": None, "site": None} if sae in names else self._described(sae)
        name = described["name"]
        if name not in names:
            raise NotFoundError(f"this run has the atlas of {sae!r}, but not the SAE itself")
        path = self._run.path / names[name]
        sites = tuple(Site.parse(site) for site in _sites_of(path, record, name))
        return AskedSAE(path, sites, described["part"], described["site"])

    def _described(self, key: str) -> dict[str, Any]:
        """What the atlas says of one of its keys: the SAE's name, the part, the site."""
        return self._atlas_with(key).latents(key).artifact.config

    def _keys_of(self, name: str) -> list[str]:
        """The names under which an SAE was scanned: its own, or those of its parts and sites; its own where it was not."""
        return [key for key in self._scanned() if self._described(key)["name"] == name] or [name]

    def _sae(self, key: str, name: str, record: dict[str, Any]) -> schema.SaeSummary:
        """An SAE, or what was scanned of it under `key`."""
        path = self._run.path / record["artifacts"]["saes"][name]
        config = open_artifact(path, kind="sae").config
        trained = config.get("trained_as", config)
        results = self._results(name, record)
        scanned = key in self._scanned()
        site = self._described(key)["site"] if scanned else ", ".join(_sites_of(path, record, name))
        return schema.SaeSummary(
            name=key,
            architecture=str(trained.get("architecture", "")),
            n_latents=config.get("n_latents"),
            site=site,
            has_atlas=scanned,
            why_no_atlas="" if scanned else "Not scanned yet, so its latents cannot be browsed.",
            config=config,
            metrics=[metric(found) for result in results for found in result.metrics],
            domains=domain_metrics(results),
        )

    def _results(self, sae: str, record: dict[str, Any]) -> list[EvalResult]:
        """Everything measured on one SAE."""
        named = record["artifacts"].get("evaluations", {}).get(sae, {})
        return [read_report(self._run.path / path) for path in named.values()]

    def _metrics(self, record: dict[str, Any]) -> list[dict[str, Any]]:
        """The rows of training, none when they are not there or belong to a run that has not begun."""
        path = self._run.path / record["artifacts"].get("training", "training") / "metrics.jsonl"
        # As `monoseme.training.read_metrics`, which would import torch; the last line may be cut short by a kill.
        lines = path.read_bytes().split(b"\n")[:-1] if path.is_file() else []
        return [row for row in map(json.loads, lines) if "sae" in row and "tokens" in row]

    def _charts(self, record: dict[str, Any]) -> list[schema.Chart]:
        from monoseme.web import _charts

        return _charts.listed(self._figures(record))

    def _figures(self, record: dict[str, Any]) -> dict[str, "Figure"]:
        from monoseme.web import _charts  # with Altair

        results = {name: self._results(name, record) for name in record["artifacts"].get("saes", {})}
        return _charts.figures(results, self._metrics(record))


def _model_name(record: dict[str, Any]) -> str:
    return str(record["config"].get("model", {}).get("model", "bundled"))


def _sites(record: dict[str, Any]) -> str:
    """The sites of the run, each once, in order."""
    return ", ".join(dict.fromkeys(str(site) for site in record.get("jobs", {}).values()))


def _sites_of(path: Path, record: dict[str, Any], name: str) -> list[str]:
    """The sites that an SAE learned from, in order."""
    config = open_artifact(path, kind="sae").config
    sites = config.get("sites") or config.get("site") or record.get("jobs", {}).get(name)
    if sites is None:
        raise ArtifactMissingError(f"neither {path} nor run.json says which site {name} reads")
    return sites.split(",") if isinstance(sites, str) else list(sites)
