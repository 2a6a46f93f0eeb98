"""The runs that one app shows, each under an id that is safe in a URL."""

import re
from collections.abc import Iterable, Iterator

from monoseme.core.config import suggest
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
