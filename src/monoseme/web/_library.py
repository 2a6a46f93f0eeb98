"""The runs that one app shows, each under an id that is safe in a URL."""

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from monoseme.core.config import suggest
from monoseme.pipeline import RUN_FILE
from monoseme.web.run_files import NotFoundError, Run


class Library:
    """A fixed set of runs, in the order given."""

    def __init__(self, runs: Iterable[Run]) -> None:
        self._runs = {run.id: run for run in runs}

    def __iter__(self) -> Iterator[Run]:
        return iter(self._runs.values())

    def get(self, run: str) -> Run:
        """The run of this id. Raises NotFoundError."""
        try:
            return self._runs[run]
        except KeyError:
            raise NotFoundError(f"no run {run!r} is being served.{suggest(run, list(self._runs))}") from None


def run_ids(names: Iterable[str]) -> list[str]:
    """One id per folder name, in order: letters, digits, dots and dashes, told apart by a number where they are equal.

    run_ids(["demo", "my run", "demo"]) == ["demo", "my-run", "demo-2"]
    """
    ids: list[str] = []
    for name in names:
        stem = re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-.") or "run"
        candidate, n = stem, 1
        while candidate in ids:
            n += 1
            candidate = f"{stem}-{n}"
        ids.append(candidate)
    return ids


class Given(NamedTuple):
    """What `monoseme serve` was asked to open."""

    runs: tuple[Path, ...]
    studies: tuple[Path, ...]
    """Folders of studies, or that hold such."""


def runs_and_studies(paths: Sequence[Path]) -> Given:
    """Which folders are runs and which hold studies; one that is neither counts as a run, whose error says what it lacks."""
    from monoseme.studies import find_studies

    studies = tuple(path for path in paths if not (path / RUN_FILE).is_file() and any(find_studies(path)))
    return Given(tuple(path for path in paths if path not in studies), studies)


def study_folders(run: Path) -> tuple[Path, ...]:
    """Where the studies of a run lie if nobody says: in it, and beside it."""
    return run / "studies", run.resolve().parent / "studies"
