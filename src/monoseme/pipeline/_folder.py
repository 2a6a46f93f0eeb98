"""A run's folder: `run.json` names its artifacts, and the config that made them.

RUN/run.json
RUN/training/                       metrics.jsonl, checkpoints
RUN/saes/NAME/                      artifacts "sae"
RUN/evaluations/NAME/EVALUATION/    artifacts "report"
RUN/atlas/                          text store, one folder per SAE, annotations
RUN/report/                         artifact "report": report.json, index.html, figures
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import monoseme
from monoseme.core.artifact import exists_error
from monoseme.core.config import merge
from monoseme.core.errors import ArtifactDamagedError, ArtifactKindError, ArtifactMissingError, ArtifactVersionError
from monoseme.core.files import read_json, typed, write_json
from monoseme.core.schema import SCHEMAS
from monoseme.pipeline._foreign_word import foreign_sae_text

RUN_FILE = "run.json"
_OF_FOREIGN = "Make a run of it with:  monoseme eval PATH --corpus TEXT --out RUN"


@dataclass(frozen=True)
class RunFolder:
    """The folder of one run."""

    path: Path

    @property
    def training(self) -> Path:
        """Metrics and checkpoints."""
        return self.path / "training"

    @property
    def atlas(self) -> Path:
        """The atlas of all its SAEs."""
        return self.path / "atlas"

    @property
    def report(self) -> Path:
        """The report artifact."""
        return self.path / "report"

    def sae(self, name: str) -> Path:
        """The artifact of the SAE of that name."""
        return self.path / "saes" / name

    def evaluation(self, sae: str, evaluation: str) -> Path:
        """The report artifact of one evaluation of one SAE."""
        return self.path / "evaluations" / sae / evaluation

    def record(self) -> dict[str, Any]:
        """What `run.json` says. Raises ArtifactMissingError, ArtifactKindError, ArtifactVersionError, ArtifactDamagedError."""
        file = self.path / RUN_FILE
        if not file.is_file():
            raise ArtifactMissingError(
                foreign_sae_text(self.path, needed="a run", instead=_OF_FOREIGN)
                or f"{self.path} is not a run: it has no {RUN_FILE}.\n  Make one with:  monoseme run --out {typed(self.path)}"
            )
        record = read_json(file)
        if not isinstance(record, dict):
            raise ArtifactDamagedError(f"{file} is not a run's record")
        if record.get("kind") != "run":
            raise ArtifactKindError(f"{file} is of kind {record.get('kind')!r}, not 'run'")
        if not isinstance(record.get("schema"), int) or record["schema"] > SCHEMAS["run"]:
            raise ArtifactVersionError(
                f"{file} was written by a newer monoseme ({record.get('package_version')}); this is {monoseme.__version__}.\n"
                "  Update with:  pip install --upgrade monoseme"
            )
        lacking = [key for key in ("config", "jobs", "artifacts") if not isinstance(record.get(key), dict)]
        if lacking:
            raise ArtifactDamagedError(f"{file} is damaged: it has no table {', '.join(lacking)}")
        return record

    def add(self, artifacts: dict[str, Any]) -> None:
        """Names more artifacts in `run.json`, as paths relative to the folder."""
        record = self.record()
        record["artifacts"] = merge(record["artifacts"], artifacts)
        write_json(self.path / RUN_FILE, record)

    def note(self, facts: dict[str, Any]) -> None:
        """Adds to what `run.json` says of how the run went (times, precision, kernels): no part of what the run is."""
        record = self.record()
        record["environment"] = record.get("environment", {}) | facts
        write_json(self.path / RUN_FILE, record)

    def sae_names(self) -> list[str]:
        """The finished SAEs, by name."""
        return sorted(self.record()["artifacts"].get("saes", {}))


def has_given_saes(record: Mapping[str, Any]) -> bool:
    """Whether a run's SAEs were given to it, as its record says: then nothing in it tells how they were trained."""
    return "training" not in record["artifacts"] and bool(record["artifacts"].get("saes"))


def settings_in_use(record: Mapping[str, Any]) -> dict[str, Any]:
    """The config of a run without settings of a training that there was not: SAEs that were given to it learned elsewhere."""
    config = dict(record["config"])
    if has_given_saes(record):
        config.pop("train", None)
    return config


def refuse_again(path: Path, *, overwrite: bool) -> None:
    """Raises ArtifactExistsError for a result that is there already, before the work is done again."""
    if path.exists() and not overwrite:
        raise exists_error(path, instead="Make it again with --overwrite")


def require_free(path: Path) -> None:
    """Raises ArtifactExistsError when there is anything at `path` but an empty folder."""
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise exists_error(path)


def new_run(path: Path, *, config: dict[str, Any], jobs: dict[str, str], is_trained: bool = True) -> RunFolder:
    """Makes the folder of a new run; `jobs` maps the names of its SAEs to their sites. Not `is_trained`: they are given to it.

    Raises ArtifactExistsError when something is there, DiskFullError.
    """
    require_free(path)
    record = {
        "kind": "run",
        "schema": SCHEMAS["run"],
        "package_version": monoseme.__version__,
        "config": config,
        "jobs": jobs,
        "artifacts": {"training": "training"} if is_trained else {},
    }
    write_json(path / RUN_FILE, record)
    return RunFolder(path)
