"""Reads what a study wrote, for viewers: its words, findings, metrics, tables and figures, out of the `report` artifact alone.

A report is somebody's folder: only files that its manifest names are ever opened, and only where they lie inside of it.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from monoseme.core.artifact import Artifact, open_artifact
from monoseme.core.errors import ArtifactDamagedError
from monoseme.core.files import read_json
from monoseme.evaluation import Metric, metrics_from_json
from monoseme.studies._base import Comparison, Finding
from monoseme.studies._record import STUDY_FILE

_DEPTH = 2
"""Folders below the one given in which studies are looked for: `runs/studies/reports/NAME`."""
_DAMAGED = (KeyError, TypeError, ValueError, AttributeError)
"""What JSON of another shape than was written leads to."""


class WrittenFigure(NamedTuple):
    """A figure of a report, as its specification."""

    name: str
    title: str
    caption: str
    file: str
    """Path in the report, without an ending; "" for one that could not be drawn."""
    why_missing: str = ""


class WrittenReport(NamedTuple):
    """What a study found, as it was written."""

    artifact: Artifact
    title: str
    text: str
    """Markdown; "" where an earlier version wrote none that can be told from the rest."""
    findings: tuple[Finding, ...]
    metrics: Mapping[str, tuple[Metric, ...]]
    """Subject -> its metrics."""
    tables: Mapping[str, str]
    """Name -> file, in the order of the study."""
    shown: Mapping[str, tuple[str, ...]]
    """Table -> columns that the study means to be seen; a table not named here is shown whole."""
    figures: tuple[WrittenFigure, ...]

    def table(self, name: str) -> pa.Table:
        """Raises KeyError, ArtifactDamagedError."""
        return pq.read_table(self.file(self.tables[name]))

    def file(self, name: str) -> Path:
        """Raises ArtifactDamagedError for a file that the manifest does not name, or that a link leads out of the report."""
        path = self.artifact.file(name)
        if not path.resolve().is_relative_to(self.artifact.path.resolve()):
            raise ArtifactDamagedError(f"{path} leads out of the report")
        return path

    def file_names(self) -> list[str]:
        """Every file of the report, in order."""
        return sorted(self.artifact.manifest["files"])


def find_studies(folder: Path) -> Iterator[Path]:
    """The studies in a folder, itself or up to two below, in the order of their names."""
    yield from _below(Path(folder), _DEPTH)


def _below(folder: Path, depth: int) -> Iterator[Path]:
    if (folder / STUDY_FILE).is_file():
        yield folder
    elif depth and folder.is_dir():
        for inner in sorted(folder.iterdir()):
            if not inner.name.startswith(".") and inner.is_dir():
                yield from _below(inner, depth - 1)


def read_study(out: Path) -> WrittenReport:
    """The report of the study in `out`. Raises ArtifactMissingError before it is finished, and the other ArtifactErrors."""
    artifact = open_artifact(out / "report", kind="report")
    content = read_json(artifact.file("report.json"))
    try:
        return WrittenReport(
            artifact=artifact,
            title=str(content["title"]),
            text=content["text"] if "text" in content else _text_of(artifact),
            findings=tuple(_finding(found) for found in content["findings"]),
            metrics={subject: metrics_from_json(held) for subject, held in content["metrics"].items()},
            tables={name: content["tables"][name] for name in content.get("table_names", content["tables"])},
            shown={name: tuple(columns) for name, columns in content.get("shown", {}).items()},
            figures=tuple(_figures(content, artifact)),
        )
    except _DAMAGED as error:
        raise ArtifactDamagedError(f"{artifact.path / 'report.json'} is not the report of a study: {error}") from error


def _finding(found: Mapping[str, Any]) -> Finding:
    comparisons = tuple(Comparison(bool(each["held"]), str(each["numbers"])) for each in found["comparisons"])
    return Finding(str(found["claim"]), comparisons, str(found["why_missing"]))


def _figures(content: Mapping[str, Any], artifact: Artifact) -> Iterator[WrittenFigure]:
    """Earlier versions named figures only: the title is in the specification then, and the caption is not told."""
    told = {each["name"]: each for each in content.get("figure_files", ())}
    not_drawn = content.get("figures_not_drawn", {})
    for name in content["figures"]:
        known = told.get(name, {"title": name.replace("_", " "), "caption": "", "file": f"figures/{name}"})
        file = "" if name in not_drawn or f"{known['file']}.json" not in artifact.manifest["files"] else known["file"]
        why = not_drawn.get(name, "" if file else "its file is not in the report")
        yield WrittenFigure(name, str(known["title"]), str(known["caption"]), file, why)


def _text_of(artifact: Artifact) -> str:
    """Between the title and the command of the page for people, where report.json does not have it."""
    page = artifact.file("index.md").read_text(encoding="utf-8")
    text, is_there, _ = page.partition("\n\n")[2].partition("\n\nMade by:\n")
    return text if is_there else ""
