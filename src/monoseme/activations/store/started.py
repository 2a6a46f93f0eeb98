"""How a capture begins: `capture.json` says what is captured, and a resume must want the same."""

import contextlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast

import torch

from monoseme.activations.store.layout import UNFINISHED, ShardRecord, shard_name
from monoseme.core.artifact import exists_error
from monoseme.core.display import get_display
from monoseme.core.errors import ArtifactDamagedError, ArtifactError, ArtifactExistsError, ArtifactMissingError, ResumeError
from monoseme.core.files import to_json
from monoseme.core.folder import Folder, is_address
from monoseme.core.manifest import MANIFEST
from monoseme.tensors.processes import Group

_NUMERICS = "numerics"
"""Threads and library: they decide the last bits of a model's products, but are no part of what is captured."""
_MOST_TOLD = 5


class Started:
    """A store that may be written to."""

    def __init__(self, folder: Folder, *, is_finished: bool, numerics: Mapping[str, Any]) -> None:
        """Lists the folder once, so that keeping thousands of shards asks nothing more of it than their records."""
        self.is_finished = is_finished
        """Nothing is left to do."""
        self._folder, self._numerics = folder, numerics
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
        if any(self._sizes.get(file) != facts["bytes"] for file, facts in record.files.items()):
            return self._told_damaged(number)
        return record

    @contextlib.contextmanager
    def numerics_taken_up(self) -> Iterator[None]:
        """For the body, as many threads as the capture began with; warns where torch is another one."""
        now, before = _numerics(), torch.get_num_threads()
        if self._numerics["threads"] != before:
            torch.set_num_threads(self._numerics["threads"])
            get_display().say(f"going on with {self._numerics['threads']} threads, as the capture began, not {before}")
        if self._numerics["torch"] != now["torch"]:
            get_display().warn(
                f"the capture began with torch {self._numerics['torch']} and goes on with {now['torch']}: "
                "the last bits of its vectors may differ"
            )
        try:
            yield
        finally:
            torch.set_num_threads(before)

    def _told_damaged(self, number: int) -> None:
        get_display().warn(f"shard {number} in {self._folder} is damaged and is made again")


def begin_store(folder: Folder, told: Mapping[str, Any], *, processes: Group, resume: bool) -> Started:
    """Makes the folder ready: a new `capture.json`, or with `resume` the one that is there, where it tells of the same capture.

    Without anything in the folder, a resume is a beginning. Raises ArtifactExistsError, ResumeError, ArtifactDamagedError.
    """
    if processes.rank == 0:
        _begin(folder, told, resume=resume)
    processes.wait()
    if folder.has(MANIFEST):
        return Started(folder, is_finished=True, numerics=_numerics())
    return Started(folder, is_finished=False, numerics=_read(folder)[_NUMERICS])


def _begin(folder: Folder, told: Mapping[str, Any], *, resume: bool) -> None:
    names = folder.names()
    if names and not resume:
        if UNFINISHED in names and MANIFEST not in names:
            raise ArtifactExistsError(
                f"{folder} holds a capture that is not finished.\n  Go on with it by --resume, or give another --out."
            )
        raise _exists(folder)
    if names:
        _require_same(folder, told, names)
    folder.clean()
    if not names:
        folder.write(UNFINISHED, to_json({**told, _NUMERICS: _numerics()}))
    elif MANIFEST in names:
        folder.remove(UNFINISHED)  # killed between the last two steps of an earlier call


def _exists(folder: Folder) -> ArtifactExistsError:
    if is_address(str(folder)):
        return ArtifactExistsError(f"{folder} exists already.\n  Choose another folder with --out, or remove it first.")
    return exists_error(Path(str(folder)))


def _require_same(folder: Folder, told: Mapping[str, Any], names: list[str]) -> None:
    if UNFINISHED not in names and MANIFEST not in names:
        raise ArtifactExistsError(f"{folder} holds something else than a capture: it has no {UNFINISHED}.\n  Give another --out.")
    if UNFINISHED not in names:
        there = json.loads(folder.read(MANIFEST))
        found = _differences({"config": there.get("config")}, {"config": told["config"]})
    else:
        found = _differences({k: v for k, v in _read(folder).items() if k != _NUMERICS}, told)
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
    if not isinstance(found, dict) or not isinstance(found.get(_NUMERICS), dict):
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


def _numerics() -> dict[str, Any]:
    return {"threads": torch.get_num_threads(), "torch": torch.__version__}
