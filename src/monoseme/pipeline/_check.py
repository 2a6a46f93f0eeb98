"""Verifies the checksums of what lies in a place: artifacts, unfinished stores, checkpoints, whole runs."""

import posixpath
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, cast

from monoseme.core.checking import find_damage
from monoseme.core.display import get_display
from monoseme.core.errors import ArtifactError, ArtifactMissingError
from monoseme.core.folder import Folder, LocalFolder, open_folder
from monoseme.core.manifest import MANIFEST, read_json_table, read_manifest
from monoseme.pipeline._folder import RUN_FILE, RunFolder
from monoseme.pipeline._foreign_word import foreign_sae_text

_OF_FOREIGN = "It has no checksums. An artifact is made of it with:  monoseme import PATH --out OUT"
_UNFINISHED, _STATE = "capture.json", "state.json"
_MARKS = (MANIFEST, _UNFINISHED, _STATE)
_CHECKPOINT = re.compile(r"(^|/)step_\d{8,}$")


class _Found(NamedTuple):
    """One thing that can be verified."""

    place: str
    what: str
    """Told before the verdict; empty for what is complete."""
    problems: Callable[[Folder], list[str]]


def check_place(word: str) -> dict[str, list[str]]:
    """Verifies every checksum at or below a place: path -> what is wrong there, nothing for what is sound.

    A place is an artifact, a run or a folder that holds some, here or at an address; of a store whose capture is not at its end,
    the finished shards are verified. Raises ArtifactMissingError where there is nothing.
    """
    folder = open_folder(word)
    names = [name for name in folder.names() if not any(part.startswith(".") for part in name.split("/"))]
    found = list(_all_in(str(folder), names))
    if not found and not (RUN_FILE in names and isinstance(folder, LocalFolder)):
        there = f"there is no artifact at or below {word}" if names else f"there is nothing at {word}"
        raise ArtifactMissingError(foreign_sae_text(Path(word), needed="an artifact", instead=_OF_FOREIGN) or there)
    problems: dict[str, list[str]] = {}
    for place, what, problems_of in found:
        problems[place] = lines = problems_of(open_folder(place))
        get_display().say(f"{place}: {what}{'DAMAGED' if lines else 'sound'}")
    if RUN_FILE in names and isinstance(folder, LocalFolder):
        problems[str(folder)] = problems.get(str(folder), []) + _not_there(RunFolder(folder.path))
    return problems


def _all_in(root: str, names: Iterable[str]) -> Iterator[_Found]:
    """What can be verified, by the names of all files below the root; the outermost first."""
    folders = {mark: {posixpath.dirname(n) for n in names if posixpath.basename(n) == mark} for mark in _MARKS}
    for path in sorted(set().union(*folders.values())):
        place = posixpath.join(root, path) if path else root
        if path in folders[MANIFEST]:
            yield _Found(place, "", _of_artifact)
        elif path in folders[_UNFINISHED]:
            yield _Found(place, "unfinished; what is finished is ", _of_unfinished)
        elif _CHECKPOINT.search(place):
            yield _Found(place, "", _of_checkpoint)


def _of_artifact(folder: Folder) -> list[str]:
    """What is wrong with an artifact, its manifest included: one that cannot be read must not hide the others."""
    try:
        return find_damage(folder, read_manifest(folder)["files"])
    except ArtifactError as error:
        return [f"{MANIFEST}: {error}"]


def _of_unfinished(folder: Folder) -> list[str]:
    from monoseme.activations.store.unfinished import check_unfinished  # torch comes with it

    try:
        return check_unfinished(folder)
    except ArtifactError as error:
        return [f"{_UNFINISHED}: {error}"]


def _of_checkpoint(folder: Folder) -> list[str]:
    try:
        files = read_json_table(folder, _STATE).get("files", {})
    except ArtifactError as error:
        return [f"{_STATE}: {error}"]
    return find_damage(folder, {name: {"hash": digest} for name, digest in files.items()})


def _not_there(run: RunFolder) -> list[str]:
    """What is wrong with a run's own record, and the artifacts it names that are not there."""
    try:
        named = run.record()["artifacts"]
    except ArtifactError as error:
        return [f"{RUN_FILE}: {error}"]
    return [f"{path}: missing, but named in {RUN_FILE}" for path in _paths(named) if not (run.path / path).is_dir()]


def _paths(named: Any) -> Iterator[str]:
    if isinstance(named, Mapping):
        for inner in cast(Mapping[str, Any], named).values():
            yield from _paths(inner)
    else:
        yield str(named)
