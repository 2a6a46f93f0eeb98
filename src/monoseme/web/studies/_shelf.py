"""The studies that are served: found again at each question, so that one which has just finished is there at the next reload."""

import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from monoseme.core.config import suggest
from monoseme.core.errors import ArtifactMissingError, MonosemeError
from monoseme.web._library import run_ids
from monoseme.web.recent import Recent
from monoseme.web.run_files import NotFoundError
from monoseme.web.studies import _report
from monoseme.web.studies.answers import StudyDetail, StudySummary

if TYPE_CHECKING:
    from monoseme.studies import StudyRecord, WrittenReport

_MOST_KEPT = 16
"""Reports kept open."""


class Shelved(NamedTuple):
    """A study with the id under which it is served."""

    id: str
    path: Path


class StudyShelf:
    """The studies in some folders. Safe to ask from several threads."""

    def __init__(self, folders: Iterable[Path]) -> None:
        """`folders` are studies, or hold studies up to two folders below; one that is not there yet is no fault."""
        self._folders = tuple(dict.fromkeys(Path(folder).resolve() for folder in folders))
        self._ids: dict[Path, str] = {}
        self._reports: Recent[tuple[Path, str], WrittenReport] = Recent(_MOST_KEPT)
        self._lock = threading.Lock()

    def __iter__(self) -> Iterator[Shelved]:
        from monoseme.studies import find_studies

        with self._lock:
            found = dict.fromkeys(path for folder in self._folders for path in find_studies(folder))
            # An id once given stays, whatever appears beside it, so that a copied link keeps its meaning.
            new = [path for path in found if path not in self._ids]
            names = run_ids([*self._ids.values(), *(path.name for path in new)])
            self._ids |= dict(zip(new, names[len(self._ids) :], strict=True))
            return iter([Shelved(self._ids[path], path) for path in found])

    def summaries(self) -> list[StudySummary]:
        """A line for each study; one that is damaged says so, and hides none of the others."""
        return [self._summary(shelved) for shelved in self]

    def detail(self, study: str) -> StudyDetail:
        """Everything about a study but its tables and figures. Raises NotFoundError, ArtifactMissingError before its report."""
        shelved = self._find(study)
        return _report.detail(shelved.id, self._record(shelved), self._open(shelved))

    def report(self, study: str) -> "WrittenReport":
        """Raises NotFoundError, ArtifactMissingError before there is one, and the other errors of reading it."""
        return self._open(self._find(study))

    def _find(self, study: str) -> Shelved:
        known = {shelved.id: shelved for shelved in self}
        if study not in known:
            raise NotFoundError(f"no study {study!r} is being served.{suggest(study, list(known))}")
        return known[study]

    def _record(self, shelved: Shelved) -> "StudyRecord":
        from monoseme.studies import read_record

        return read_record(shelved.path)

    def _open(self, shelved: Shelved) -> "WrittenReport":
        from monoseme.core.artifact import open_artifact
        from monoseme.studies import read_study

        report = shelved.path / "report"
        if not report.is_dir():
            raise ArtifactMissingError(
                f"the study {shelved.id} has no report yet.\n"
                f"  Go on with it:  monoseme study {self._record(shelved).study} --out {shelved.path} --resume"
            )
        key = (shelved.path, open_artifact(report, kind="report").content_hash)
        with self._lock:
            return self._reports.get(key, lambda: read_study(shelved.path))

    def _summary(self, shelved: Shelved) -> StudySummary:
        study = ""
        try:
            study = self._record(shelved).study
            return _report.summary(shelved.id, study, self._open(shelved))
        except MonosemeError as error:
            is_missing = isinstance(error, ArtifactMissingError)
            return StudySummary(
                id=shelved.id,
                study=study,
                title="",
                path=str(shelved.path),
                state="unfinished" if is_missing else "damaged",
                problem=str(error),
            )
