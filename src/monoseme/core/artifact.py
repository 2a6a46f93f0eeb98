"""Artifacts: folders with a manifest, in which the stages of a run meet.

`manifest.json` holds what defines the content (kind, schema and package version, whole resolved config, seeds, hashes of the
inputs, checksum of each file) and, under "environment", what does not (dates, timings, hardware), which is neither hashed nor
compared. A new artifact is written in a hidden sibling folder; the manifest comes last and the folder is renamed into place, so
an artifact that can be opened is complete.
"""

import contextlib
import datetime
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from monoseme.core.checking import find_damage
from monoseme.core.drafts import draft_folder
from monoseme.core.errors import ArtifactExistsError
from monoseme.core.files import hash_file, read_json, sync_folder, typed
from monoseme.core.folder import LocalFolder, open_folder
from monoseme.core.manifest import (
    MANIFEST,
    content_hash,
    lacks,
    make_manifest,
    read_manifest,
    require_files,
    this_environment,
    write_manifest,
)

__all__ = ["MANIFEST", "Artifact", "ArtifactDraft", "check_artifact", "exists_error", "new_artifact", "open_artifact"]


@dataclass(kw_only=True)
class ArtifactDraft:
    """An artifact while it is written: put files into `folder`."""

    folder: Path
    facts: dict[str, Any] = field(default_factory=dict[str, Any])

    def add_fact(self, key: str, value: Any) -> None:
        """Records something that does not define the content: a timing, a rate, a count of what was skipped."""
        self.facts[key] = value


@dataclass(frozen=True, kw_only=True)
class Artifact:
    """A complete artifact on disk."""

    path: Path
    manifest: dict[str, Any]

    @property
    def kind(self) -> str:
        """`sae`, `atlas`, `report` or `activations`."""
        return self.manifest["kind"]

    @property
    def config(self) -> dict[str, Any]:
        """The whole resolved config it was made with."""
        return self.manifest["config"]

    @property
    def inputs(self) -> dict[str, str]:
        """Name -> content hash of what it was made from."""
        return self.manifest["inputs"]

    @property
    def environment(self) -> dict[str, Any]:
        """Dates, timings and hardware; not part of the content."""
        return self.manifest.get("environment", {})

    @property
    def content_hash(self) -> str:
        """Hash of everything in the manifest that defines the content, the files' checksums included."""
        return content_hash(self.manifest)

    def file(self, name: str) -> Path:
        """The path of one of its files. Raises ArtifactDamagedError when it is not there."""
        path = self.path / name
        if name not in self.manifest["files"] or not path.is_file():
            raise lacks(LocalFolder(self.path), name)
        return path


@contextlib.contextmanager
def new_artifact(
    path: Path,
    *,
    kind: str,
    config: Mapping[str, Any],
    inputs: Mapping[str, str] | None = None,
    seeds: Mapping[str, int] | None = None,
    overwrite: bool = False,
) -> Iterator[ArtifactDraft]:
    """Makes the artifact at `path` of what the body puts into `draft.folder`; nothing remains if the body raises.

    `inputs` maps names to content hashes. `overwrite` replaces an artifact of the same kind once the new one is complete.
    Raises ArtifactExistsError, DiskFullError.
    """
    path = Path(path)
    if path.exists() and not (overwrite and _is_kind(path, kind)):
        raise exists_error(path)
    started = datetime.datetime.now(datetime.UTC)
    with draft_folder(path) as folder:
        draft = ArtifactDraft(folder=folder)
        yield draft
        files, environment = _checksums(folder), this_environment(started) | draft.facts
        manifest = make_manifest(kind=kind, config=config, files=files, inputs=inputs, seeds=seeds, environment=environment)
        write_manifest(LocalFolder(folder), manifest)
        _move_into_place(folder, path)


def exists_error(path: Path, *, instead: str = "Choose another folder with --out") -> ArtifactExistsError:
    """The error for an output folder that is there already; `instead` is what else than removing it helps."""
    return ArtifactExistsError(f"{path} exists already.\n  {instead}, or remove it first:  rm -r {typed(path)}")


def _is_kind(path: Path, kind: str) -> bool:
    return (path / MANIFEST).is_file() and read_json(path / MANIFEST).get("kind") == kind


def _checksums(folder: Path) -> dict[str, dict[str, Any]]:
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    return {p.relative_to(folder).as_posix(): {"hash": hash_file(p), "bytes": p.stat().st_size} for p in files}


def _move_into_place(draft: Path, path: Path) -> None:
    """Renames the finished folder; an older artifact steps aside first, so that one of the two is always there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = draft.with_suffix(".old")
    if path.exists():
        path.rename(aside)
    draft.rename(path)
    sync_folder(path.parent)
    shutil.rmtree(aside, ignore_errors=True)


def open_artifact(path: Path, *, kind: str | None = None) -> Artifact:
    """The artifact at `path`, of that kind where one is given.

    Raises ArtifactMissingError, ArtifactKindError, ArtifactVersionError, or ArtifactDamagedError when a file is absent or has
    another size than it was written with. Contents are not hashed here; `check_artifact` does that.
    """
    folder = LocalFolder(Path(path))
    manifest = read_manifest(folder, kind=kind)
    require_files(folder, manifest)
    return Artifact(path=folder.path, manifest=manifest)


def check_artifact(where: Path | str) -> list[str]:
    """What is wrong with the files of an artifact (a path or an address), one line each; empty when every checksum holds.

    Raises what `read_manifest` raises for a manifest that cannot be read.
    """
    folder = open_folder(where)
    return find_damage(folder, read_manifest(folder)["files"])
