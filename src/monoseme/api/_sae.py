"""`Sae`: an SAE with what lies around it: its run, its model, its atlas."""

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from monoseme.api._latent_page import LatentPage
from monoseme.api._latent_table import LatentTable
from monoseme.api._metric_table import MetricTable
from monoseme.api._reading import Reading
from monoseme.api._run import Run
from monoseme.api._sae_card import SaeCard
from monoseme.atlas import Target, open_atlas
from monoseme.core.config import to_dict
from monoseme.core.errors import ArtifactMissingError, ConfigError
from monoseme.models import ModelConfig
from monoseme.pipeline import (
    RUN_FILE,
    FoundSae,
    Materials,
    NamedSae,
    RunConfig,
    Writer,
    has_given_saes,
    run_config,
    run_of,
    settings_for,
)

if TYPE_CHECKING:
    from monoseme.atlas import Atlas
    from monoseme.models import LanguageModel
    from monoseme.saes import SAE, Codes


@dataclass(frozen=True)
class Sae:
    """An SAE that was opened. `module` is the torch module; the rest needs its run."""

    named: NamedSae
    path: Path
    """What names it alone: RUN/saes/NAME, RUN@STEP, or files of another tool."""
    in_model: str | None = None
    """The language model in place of the one that its run or its files name: a folder or a hub id."""

    @property
    def name(self) -> str:
        """What its run calls it."""
        return self.named.name

    @property
    def module(self) -> "SAE":
        """The SAE itself: `encode`, `decode`, `W_dec`."""
        return self.named.sae

    @functools.cached_property
    def run(self) -> Run | None:
        """The run it belongs to; None for one by itself."""
        folder = run_of(str(self.path))
        return Run(folder.path, self.in_model) if (folder.path / RUN_FILE).is_file() else None

    @property
    def key(self) -> str:
        """What an atlas calls it; the first where it has several sites or parts."""
        return self._target().keys[0]

    @functools.cached_property
    def model(self) -> "LanguageModel":
        """The language model that it was opened with, else that of its run, loaded on first use.

        Raises ConfigError for an SAE of no run that was opened without one.
        """
        return Materials(self._settings).model

    @functools.cached_property
    def atlas(self) -> "Atlas | None":
        """The atlas of its run; None before a scan."""
        run = self.run
        if run is None or not (run.folder.atlas / "text").is_dir():
            return None
        atlas = open_atlas(run.folder.atlas)
        return atlas if self.key in atlas.saes() else None

    def encode(self, text: str) -> Reading:
        """The codes of a text, which begins as those that the SAE learned from: after a BOS, where they did.

        Raises ConfigError for an SAE of no run that was opened without a model, ModelError for a text that is longer than the
        model reads.
        """
        import torch

        model = self.model
        begins = self._settings.corpus.bos != "never"
        tokens = torch.tensor([Writer(model, begins_with_bos=begins).prompt_ids(text)], device=model.device)
        mask, placed = model.editable(tokens), self._target().placed
        with torch.no_grad():
            codes: Codes = placed.encode(model.capture(tokens, placed.inputs), mask)
        return Reading(
            name=self.name,
            tokens=tuple(model.decode_tokens(tokens[0])),
            codes=codes,
            reads=tuple(mask[0].tolist()),
            explanations=self._explanations,
        )

    def top_latents(self, text: str, n: int = 10) -> LatentTable:
        """The latents that fire most on a text."""
        return self.encode(text).top_latents(n)

    def evaluate(
        self,
        evaluations: str | tuple[str, ...] = (),
        *,
        part: str | tuple[str, ...] = (),
        corpus: str | Path | None = None,
    ) -> MetricTable:
        """Measures it on held-out text of its run, or of `corpus`; nothing is written. See `monoseme.evaluate`."""
        from monoseme.api._measuring import evaluate

        return evaluate(self, evaluations, part=part, corpus=corpus)

    def latent(self, latent: int, *, part: str | None = None) -> LatentPage:
        """All that its run's atlas knows of a latent. Raises ArtifactMissingError before a scan, ConfigError for none of it."""
        return LatentPage(found=self._scanned().latent(self._key(part), latent), run=self._own_run().path)

    def latents(self, where: str = "", *, sort: str = "latent", descending: bool = False, n: int = 20) -> LatentTable:
        """The table of latents in the atlas: those for which `where` holds, such as "density < 0.01 and max > 3".

        Raises ConfigError for columns there are not.
        """
        found = self._scanned().table(self.key, where=where, sort=sort, descending=descending, limit=n)
        shown = ("latent", "density", "max", "explanation")
        rows = [{name: row.get(name) for name in dict.fromkeys((*shown[:3], sort, shown[3]))} for row in found.rows]
        return LatentTable(rows=rows, title=f"Latents of {self.key}", note=f"{found.n_matching:,} match")

    @property
    def card(self) -> SaeCard:
        """What it is and how good it is."""
        sae, facts = self.module, self.module.provenance
        run = self.run
        model = self.named.model or facts.get("model")
        tokens = facts.get("tokens_trained")
        is_given = run is not None and has_given_saes(run.folder.record())
        return SaeCard(
            name=self.name,
            facts={
                "architecture": sae.config.plugin_name,
                "vectors of": f"{sae.d_in:,} numbers",
                "latents": f"{sae.n_latents:,}",
                "site": ", ".join(map(str, self.named.sites)),
                "unit of codes": sae.unit,
                "parts of codes": ", ".join(sae.parts) if len(sae.parts) > 1 else None,
                "model": model.get("model") if isinstance(model, dict) else model,
                "measured on" if is_given else "text": None if run is None else run_config(run.folder).corpus.source,
                "training": "not known here" if is_given else None,
                "trained on": None if tokens is None else f"{tokens:,} tokens",
                "format": facts.get("format"),
                "content": None if self.named.content_hash is None else self.named.content_hash[:19],
            },
            settings=_unusual(sae),
            metrics=None if run is None or self.name not in run.measured else run.metrics(sae=self.name),
        )

    def __repr__(self) -> str:
        return repr(self.card)

    def _repr_html_(self) -> str:
        return self.card._repr_html_()

    @functools.cached_property
    def _settings(self) -> RunConfig:
        """Those of its run; with another model, as every verb takes it."""
        if self.in_model is None:
            return run_config(self._own_run().folder)
        own = None if self.run is None else self.run.config
        found = FoundSae(self.named, own, str(self.path))
        return settings_for([found], model=ModelConfig(model=self.in_model))

    def _own_run(self) -> Run:
        if self.run is None:
            raise ConfigError(
                f"{self.name} is of no run, so its model is not known.\n"
                "  Name it:  ms.open(PATH, model=FOLDER)   or encode activations with `.module.encode(x)`."
            )
        return self.run

    def _scanned(self) -> "Atlas":
        if self.atlas is None:
            raise ArtifactMissingError(
                f"{self.name} was not scanned.\n  Scan it with:  monoseme.scan({str(self._own_run().path)!r})"
            )
        return self.atlas

    def _target(self, part: str | None = None) -> Target:
        """As a scan takes it: the novel part of a code that has one, else the whole."""
        part = part or ("novel" if "novel" in self.module.parts else None)
        return Target(self.name, self.module, self.named.sites, part=part)

    def _key(self, part: str | None) -> str:
        return self._target(part).keys[0]

    @functools.cached_property
    def _explanations(self) -> dict[int, str]:
        from monoseme.atlas.annotations import read_explanations

        if self.atlas is None:
            return {}
        newest = next((part for part in self.atlas.annotations(self.key) if part.holds == "explanations"), None)
        said = [] if newest is None else read_explanations(newest)
        return {one.latent: one.text for one in said if one.text}


def _unusual(sae: "SAE") -> dict[str, Any]:
    """Settings that differ from their defaults; those that the facts tell are left out."""
    trained = _flat(sae.provenance.get("trained_as") or to_dict(sae.config))
    told = {"d_in", "n_latents", "sites", "architecture"}
    usual = _flat(to_dict(type(sae.config)()))
    return {name: value for name, value in trained.items() if name not in told and (name not in usual or usual[name] != value)}


def _flat(settings: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    """Settings by their flags: `normalise.kind`."""
    flat: dict[str, Any] = {}
    for name, value in settings.items():
        flat |= _flat(value, f"{before}{name}.") if isinstance(value, Mapping) else {f"{before}{name}": value}
    return flat
