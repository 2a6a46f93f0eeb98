"""A store whose capture has not come to its end: which shards are done, and whether they are sound."""

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from monoseme.activations.store.layout import UNFINISHED, ShardRecord
from monoseme.core.checking import find_damage
from monoseme.core.errors import ArtifactDamagedError, ArtifactMissingError
from monoseme.core.files import typed
from monoseme.core.folder import Folder
from monoseme.core.manifest import MANIFEST, read_json_table

_RECORD = re.compile(r"shards/(\d{5,})\.json")


class Unfinished(NamedTuple):
    """What there is of an unfinished store."""

    started: dict[str, Any]
    """What `capture.json` says: what is being captured."""
    records: tuple[ShardRecord, ...]
    """Finished shards, by number."""
    problems: tuple[str, ...]
    """A line for each record that cannot be read."""

    @property
    def n_contexts(self) -> int:
        """In finished shards."""
        return sum(record.n_contexts for record in self.records)

    @property
    def n_rows(self) -> int:
        """Real tokens in finished shards."""
        return sum(record.n_rows for record in self.records)

    @property
    def n_bytes(self) -> int:
        """Of finished shards."""
        return sum(record.n_bytes for record in self.records)

    @property
    def gaps(self) -> tuple[int, ...]:
        """Numbers below the last finished shard's that are not finished: several processes were at work."""
        there = {record.number for record in self.records}
        return tuple(number for number in range(max(there, default=0)) if number not in there)


def how_to_go_on(folder: Folder, started: Mapping[str, Any]) -> str:
    """What to type so that an unfinished store comes to its end; `started` is what its `capture.json` says."""
    config = started.get("config")
    verb = "import" if isinstance(config, dict) and "format" in config else "capture"
    return f"monoseme {verb} --out {typed(str(folder))} --resume"


def require_finished(folder: Folder) -> None:
    """Raises ArtifactMissingError for a store that is not at its end, with what to type."""
    if folder.has(MANIFEST) or not folder.has(UNFINISHED):
        return
    go_on = how_to_go_on(folder, read_json_table(folder, UNFINISHED))
    raise ArtifactMissingError(f"{folder} is not finished: it can be read when all of it is there.\n  Go on with:  {go_on}")


def read_unfinished(folder: Folder) -> Unfinished:
    """The finished shards of a store; their files are not looked at.

    Raises ArtifactMissingError where there is no unfinished store, ArtifactDamagedError for a `capture.json` that cannot be read.
    """
    started = read_json_table(folder, UNFINISHED)
    records: list[ShardRecord] = []
    problems: list[str] = []
    for name in sorted(name for name in folder.names() if _RECORD.fullmatch(name)):
        try:
            records.append(ShardRecord.from_json(read_json_table(folder, name), where=f"{folder}/{name}"))
        except ArtifactDamagedError as error:
            problems.append(f"{name}: {error}")
    return Unfinished(started, tuple(sorted(records, key=lambda record: record.number)), tuple(problems))


def check_unfinished(folder: Folder) -> list[str]:
    """What is wrong with the finished shards of an unfinished store, a line for each file; empty when all are sound."""
    found = read_unfinished(folder)
    files = {name: facts for record in found.records for name, facts in record.files.items()}
    return [*found.problems, *find_damage(folder, files)]
