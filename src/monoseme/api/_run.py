"""`Run`: the folder of a run as typed values."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from monoseme.api._html import framed, pairs, table
from monoseme.api._metric_table import MetricTable
from monoseme.api._pictures import Picture, drawn, known
from monoseme.core.config import suggest
from monoseme.core.errors import ConfigError
from monoseme.core.files import read_json
from monoseme.core.manifest import MANIFEST
from monoseme.pipeline import RunFolder
from monoseme.reports.plain_tables import aligned_table

if TYPE_CHECKING:
    from monoseme.api._sae import Sae
    from monoseme.evaluation import EvalResult
    from monoseme.pipeline import RunConfig

_SHOWN = ("fvu", "l0", "ce_recovered", "dead_fraction")


@dataclass(frozen=True)
class Run:
    """A run: SAEs that learned side by side from one model and one text, and what was made of them."""

    path: Path
    in_model: str | None = None
    """The language model in place of the one that its config names: a folder or a hub id."""

    @property
    def folder(self) -> RunFolder:
        """Where its artifacts lie."""
        return RunFolder(self.path)

    @property
    def config(self) -> "RunConfig":
        """What it was made with."""
        from monoseme.pipeline import run_config

        return run_config(self.folder)

    @property
    def names(self) -> list[str]:
        """Its finished SAEs."""
        return self.folder.sae_names()

    @property
    def saes(self) -> "dict[str, Sae]":
        """Its finished SAEs, by name."""
        return {name: self.sae(name) for name in self.names}

    def sae(self, name: str | None = None) -> "Sae":
        """One SAE; no name is needed where there is one. Raises ConfigError with what there is."""
        from monoseme.api._sae import Sae
        from monoseme.pipeline import open_sae

        names = self.names
        if name is None and len(names) == 1:
            name = names[0]
        if name not in names:
            asked = f'no SAE "{name}".{suggest(str(name), names)}' if name else f"{len(names)} SAEs: name one."
            raise ConfigError(f"this run has {asked}\n  It has: {', '.join(names)}")
        path = self.folder.sae(str(name))
        return Sae(open_sae(str(path)), path, self.in_model)

    @property
    def measured(self) -> dict[str, list[str]]:
        """SAE -> the evaluations that were made of it."""
        found = sorted((self.path / "evaluations").glob(f"*/*/{MANIFEST}"))
        names = [(path.parent.parent.name, path.parent.name) for path in found if not path.parent.name.startswith(".")]
        return {sae: [made for of, made in names if of == sae] for sae in dict.fromkeys(of for of, _ in names)}

    def evaluation(self, sae: str, evaluation: str = "fidelity") -> "EvalResult":
        """What an evaluation found, with its tables. Raises ArtifactMissingError."""
        from monoseme.evaluation import read_report

        return read_report(self.folder.evaluation(sae, evaluation))

    def metrics(self, evaluation: str = "fidelity", *, sae: str | None = None) -> MetricTable:
        """What an evaluation measured on the run's SAEs, or on one. Raises ConfigError where none was measured so."""
        found = [name for name, made in self.measured.items() if evaluation in made and sae in (None, name)]
        if not found:
            raise ConfigError(f"nothing was measured by {evaluation}.\n  Measure it with:  monoseme.evaluate({str(self.path)!r})")
        title = f"{evaluation} of {self.path.name}"
        return MetricTable(metrics={name: self.evaluation(name, evaluation).metrics for name in found}, title=title)

    @property
    def page(self) -> Path:
        """The report, to be opened in a browser."""
        return self.folder.report / "index.html"

    @property
    def figures(self) -> tuple[str, ...]:
        """Names of the figures of its report, none before there is one."""
        return tuple(sorted(path.stem for path in (self.folder.report / "figures").glob("*.json")))

    def figure(self, name: str) -> Picture:
        """A figure of its report. Raises ConfigError with what there is."""
        folder = self.folder.report / "figures"
        title = read_json(folder / f"{known(name, self.figures, 'figure')}.json").get("title", name)
        return drawn(folder / f"{name}.svg", title=title if isinstance(title, str) else str(title.get("text", name)))

    def _facts(self) -> dict[str, Any]:
        config, made = self.config, self.folder.record()["artifacts"]
        return {
            "model": config.model.model,
            "text": config.corpus.source,
            "sites": ", ".join(sorted(set(self.folder.record()["jobs"].values()))),
            "has": ", ".join(name for name in made if name not in ("training", "saes")) or "SAEs alone",
        }

    def _rows(self) -> list[dict[str, Any]]:
        measured = {name for name, made in self.measured.items() if "fidelity" in made}
        rows: list[dict[str, Any]] = []
        for name in self.names:
            row: dict[str, Any] = {"SAE": name}
            if name in measured:
                found = self.evaluation(name)
                row |= {each: found[each].value for each in _SHOWN if each in {m.name for m in found.metrics}}
            rows.append(row)
        return rows

    def __repr__(self) -> str:
        facts = [f"  {name}: {value}" for name, value in self._facts().items()]
        return "\n".join([f"run {self.path.name}", *facts, aligned_table(self._rows())])

    def _repr_html_(self) -> str:
        return framed(f"Run {self.path.name}", pairs(self._facts()), table(self._rows()))
