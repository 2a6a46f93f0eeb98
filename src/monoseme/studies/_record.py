"""The record of a study's folder, `study.json`: which study, its settings, and the command that makes it again."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from monoseme.core.errors import ArtifactDamagedError, ArtifactMissingError
from monoseme.core.files import read_json

STUDY_FILE = "study.json"


class StudyRecord(NamedTuple):
    """What `study.json` says."""

    study: str
    config: dict[str, Any]
    command: str


def read_record(out: Path) -> StudyRecord:
    """The study that `out` holds. Raises ArtifactMissingError, ArtifactDamagedError."""
    if not (out / STUDY_FILE).is_file():
        raise ArtifactMissingError(f"{out} holds no study: it has no {STUDY_FILE}")
    record = read_json(out / STUDY_FILE)
    if not isinstance(record, Mapping) or not {"study", "config", "command"} <= set(record):
        raise ArtifactDamagedError(f"{out / STUDY_FILE} is not a study's record")
    return StudyRecord(record["study"], record["config"], record["command"])
