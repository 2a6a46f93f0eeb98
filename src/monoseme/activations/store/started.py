"""How a capture begins: `capture.json` says what is captured, and a resume must want the same."""

import contextlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast

import torch

from monoseme.activations.store.layout import UNFINISHED, ShardRecord, shard_name
from monoseme.activations.store.supply import StoreInput
from monoseme.core.artifact import exists_error
from monoseme.core.display import get_display
from monoseme.core.errors import (
    ArtifactDamagedError,
    ArtifactError,
    ArtifactExistsError,
    ArtifactMissingError,
    ConfigError,
    ResumeError,
)
from monoseme.core.files import to_json
from monoseme.core.folder import Folder, is_address
from monoseme.core.manifest import MANIFEST
from monoseme.tensors.processes import ALONE, Group

_MEASURED = "measured"
"""What was found when the capture began and is the same to its end: not compared by a resume, but taken over."""
_MOST_TOLD = 5


class Started:
    """A store that may be written to."""

    def __init__(self, folder: Folder, measured: Mapping[str, Any] | None) -> None:
        """Lists the folder once, so that keeping thousands of shards asks nothing more of it than their records."""
        self.is_finished = measured is None
        """Nothing is left to do."""
        self.sink_thresholds: Mapping[str, float | None] = {} if measured is None else measured["sink_thresholds"]
        """As measured when the capture began."""
        self._folder, self._measured = folder, measured or {}
        self._sizes = folder.sizes()

    def kept(self, number: int) -> ShardRecord | None:
        """The record of a shard that is there and has the sizes it was written with; None where it has to be made."""
        name = shard_name(number, "")
        if name not in self._sizes:
            return None
        try:
            record = ShardRecord.from_json(json.loads(self._folder.read(name)), where=f"{self._folder}/{name}")
        except (ArtifactError, ValueError):
            return self._told_damaged(number)
        needed = {shard_name(number, part) for part in ("text", "statistics")}
        if (
            record.number != number
            or not needed <= set(record.files)
            or any(self._sizes.get(file) != facts["bytes"] for file, facts in record.files.items())
        ):
            return self._told_damaged(number)
        return record

    @contextlib.contextmanager
    def numerics_taken_up(self) -> Iterator[None]:
        """For the body, as many threads as the capture began with; warns where torch is another one: both move last bits."""
        threads, version, before = self._measured["threads"], self._measured["torch"], torch.get_num_threads()
        if threads != before:
            torch.set_num_threads(threads)
            get_display().say(f"going on with {threads} threads, as the capture began, not {before}")
        if version != torch.__version__:
            get_display().warn(
                f"the capture began with torch {version} and goes on with {torch.__version__}: "
                "the last bits of its vectors may differ"
            )
        try:
            yield
        finally:
            torch.set_num_threads(before)

    @contextlib.contextmanager
    def undone_by_a_setting(self, processes: Group) -> Iterator[None]:
        """Where a setting fails the body before a shard is there, nothing is left: it can be changed and the same be typed again.

        Several processes leave what they began: others may be about to finish a shard.
        """
        try:
            yield
        except ConfigError:
            if processes.size == 1 and self._folder.names() == [UNFINISHED]:
                self._folder.remove(UNFINISHED)
            raise

    def _told_damaged(self, number: int) -> None:
        get_display().warn(f"shard {number} in {self._folder} is damaged and is made again")


def begin_store(
    folder: Folder, told: Mapping[str, Any], supply: StoreInput, *, processes: Group = ALONE, resume: bool = False
) -> Started:
    """Makes the folder ready: a new `capture.json`, or with `resume` the one that is there, where it tells of the same capture.

    Without anything in the folder, a resume is a beginning. Raises ArtifactExistsError, ResumeError, ArtifactDamagedError, and
    what the supply raises when its sinks are measured.
    """
    if processes.rank == 0:
        _begin(folder, told, supply, resume=resume)
    processes.wait()
    return Started(folder, None if folder.has(MANIFEST) else _read(folder)[_MEASURED])


def _begin(folder: Folder, told: Mapping[str, Any], supply: StoreInput, *, resume: bool) -> None:
    names = folder.names()
    if not resume:
        require_new(folder)
    if names:
        _require_same(folder, told, names)
    folder.clean()
    if not names:
        measured = {
            "threads": torch.get_num_threads(),
            "torch": torch.__version__,
            "sink_thresholds": dict(supply.sink_thresholds),
        }
        folder.write(UNFINISHED, to_json({**told, _MEASURED: measured}))
    elif MANIFEST in names:
        folder.remove(UNFINISHED)  # killed between the last two steps of an earlier call


def require_new(folder: Folder) -> None:
    """Raises ArtifactExistsError where a store cannot be begun, because something is there."""
    names = folder.names()
    if UNFINISHED in names and MANIFEST not in names:
        raise ArtifactExistsError(
            f"{folder} holds a capture that is not finished.\n  Go on with it by --resume, or give another --out."
        )
    if names and is_address(str(folder)):
        raise ArtifactExistsError(f"{folder} exists already.\n  Choose another folder with --out, or remove it first.")
    if names:
        raise exists_error(Path(str(folder)))


def _require_same(folder: Folder, told: Mapping[str, Any], names: list[str]) -> None:
    if UNFINISHED not in names and MANIFEST not in names:
        raise ArtifactExistsError(f"{folder} holds something else than a capture: it has no {UNFINISHED}.\n  Give another --out.")
    if UNFINISHED not in names:
        there = json.loads(folder.read(MANIFEST))
        found = _differences({"config": there.get("config")}, {"config": told["config"]})
    else:
        found = _differences({k: v for k, v in _read(folder).items() if k != _MEASURED}, told)
    if found:
        raise ResumeError(
            f"{folder} holds a capture with other settings: {', '.join(found)}.\n"
            "  Go on with it as it is, by --out and --resume alone, or give another --out."
        )


def read_started(folder: Folder) -> dict[str, Any] | None:
    """What `capture.json` says of the capture that was begun in a folder; None without one. Raises ArtifactDamagedError."""
    try:
        return _read(folder)
    except ArtifactMissingError:
        return None


def _read(folder: Folder) -> dict[str, Any]:
    data = folder.read(UNFINISHED)
    try:
        found = json.loads(data)
    except ValueError as error:
        raise ArtifactDamagedError(
            f"{folder}/{UNFINISHED} is not valid JSON ({error}).\n  Remove the folder, and begin again."
        ) from error
    if not isinstance(found, dict) or not isinstance(found.get("config"), dict) or not _are_measured(found.get(_MEASURED)):
        raise ArtifactDamagedError(f"{folder}/{UNFINISHED} does not tell of a capture.\n  Remove the folder, and begin again.")
    return cast(dict[str, Any], found)


def _differences(before: Any, now: Any, name: str = "") -> list[str]:
    """`config.corpus.source is 'a', was 'b'` for each value that differs, at most a few."""
    now = json.loads(to_json(now)) if not name else now
    if isinstance(before, dict) and isinstance(now, dict):
        keys = sorted({*before, *now})
        parts = [
            _differences(before.get(key), now.get(key), f"{name}.{key}" if name else str(key)) for key in cast(list[str], keys)
        ]
        return [line for part in parts for line in part][:_MOST_TOLD]
    return [] if before == now else [f"{name} is {now!r}, was {before!r}"]


def _are_measured(facts: Any) -> bool:
    return (
        isinstance(facts, dict)
        and isinstance(facts.get("threads"), int)
        and facts["threads"] > 0
        and isinstance(facts.get("torch"), str)
        and isinstance(facts.get("sink_thresholds"), dict)
        and all(limit is None or isinstance(limit, int | float) for limit in facts["sink_thresholds"].values())
    )
