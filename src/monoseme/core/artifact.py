"""Artifacts: folders with a manifest, in which the stages of a run meet.

`manifest.json` holds what defines the content (kind, schema and package version, whole resolved config, seeds, hashes of the
inputs, checksum of each file) and, under "environment", what does not (dates, timings, hardware), which is neither hashed nor
compared. A new artifact is written in a hidden sibling folder; the manifest comes last and the folder is renamed into place, so
an artifact that can be opened is complete.
"""

import contextlib
import datetime
import os
import platform
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import monoseme
from monoseme.core.errors import (
    ArtifactDamagedError,
    ArtifactExistsError,
    ArtifactKindError,
    ArtifactMissingError,
    ArtifactVersionError,
)
from monoseme.core.files import guard_disk, hash_file, hash_json, read_json, sync_folder, typed, write_json
from monoseme.core.schema import SCHEMAS

MANIFEST = "manifest.json"


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
        return hash_json({key: value for key, value in self.manifest.items() if key != "environment"})

    def file(self, name: str) -> Path:
        """The path of one of its files. Raises ArtifactDamagedError when it is not there."""
        path = self.path / name
        if name not in self.manifest["files"] or not path.is_file():
            raise ArtifactDamagedError(
                f"{self.path} lacks its file {name}.\n  See what else is wrong with:  monoseme check {typed(self.path)}"
            )
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
    draft = ArtifactDraft(folder=path.with_name(f".{path.name}.{os.getpid()}.draft"))
    started = datetime.datetime.now(datetime.UTC)
    try:
        with guard_disk(path):
            draft.folder.mkdir(parents=True)
            yield draft
            manifest = {
                "kind": kind,
                "schema": SCHEMAS[kind],
                "package_version": monoseme.__version__,
                "config": dict(config),
                "inputs": dict(inputs or {}),
                "seeds": dict(seeds or {}),
                "files": _checksums(draft.folder),
                "environment": _environment(started) | draft.facts,
            }
            write_json(draft.folder / MANIFEST, manifest)
            _move_into_place(draft.folder, path)
    finally:
        shutil.rmtree(draft.folder, ignore_errors=True)


def exists_error(path: Path, *, instead: str = "Choose another folder with --out") -> ArtifactExistsError:
    """The error for an output folder that is there already; `instead` is what else than removing it helps."""
    return ArtifactExistsError(f"{path} exists already.\n  {instead}, or remove it first:  rm -r {typed(path)}")


def _is_kind(path: Path, kind: str) -> bool:
    return (path / MANIFEST).is_file() and read_json(path / MANIFEST).get("kind") == kind


def _checksums(folder: Path) -> dict[str, dict[str, Any]]:
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    return {p.relative_to(folder).as_posix(): {"hash": hash_file(p), "bytes": p.stat().st_size} for p in files}


def _environment(started: datetime.datetime) -> dict[str, Any]:
    finished = datetime.datetime.now(datetime.UTC)
    return {
        "started": started.isoformat(timespec="seconds"),
        "seconds": round((finished - started).total_seconds(), 3),
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        "n_cpus": os.cpu_count(),
    }


def _move_into_place(draft: Path, path: Path) -> None:
    """Renames the finished folder; an older artifact steps aside first, so that one of the two is always there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.{os.getpid()}.old")
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
    path = Path(path)
    manifest = _read_manifest(path)
    if kind is not None and manifest["kind"] != kind:
        raise ArtifactKindError(f"{path} is an artifact of kind {manifest['kind']!r}; {kind!r} is needed here")
    artifact = Artifact(path=path, manifest=manifest)
    for name, facts in manifest["files"].items():
        n_bytes = artifact.file(name).stat().st_size
        if n_bytes != facts["bytes"]:
            raise ArtifactDamagedError(f"{path / name} has {n_bytes:,} bytes instead of {facts['bytes']:,}")
    return artifact


def _read_manifest(path: Path) -> dict[str, Any]:
    if not path.is_dir():
        raise ArtifactMissingError(f"there is no folder {path}")
    if not (path / MANIFEST).is_file():
        raise ArtifactMissingError(f"{path} holds no finished artifact: it has no {MANIFEST}")
    manifest = read_json(path / MANIFEST)
    needed = {"kind": str, "schema": int, "config": dict, "inputs": dict, "files": dict}
    if not isinstance(manifest, dict) or not all(isinstance(manifest.get(k), t) for k, t in needed.items()):
        raise ArtifactDamagedError(f"{path / MANIFEST} is not a manifest of monoseme")
    known = SCHEMAS.get(manifest["kind"])
    if known is None:
        raise ArtifactKindError(f"{path} is of the unknown kind {manifest['kind']!r}.\n  Allowed: {', '.join(SCHEMAS)}")
    if manifest["schema"] > known:
        raise ArtifactVersionError(
            f"{path} has layout {manifest['schema']} of {manifest['kind']!r} (monoseme {manifest.get('package_version')}); "
            f"this is {monoseme.__version__}, which knows layouts up to {known}.\n  Update with:  pip install --upgrade monoseme"
        )
    return manifest


def check_artifact(path: Path) -> list[str]:
    """What is wrong with the files of an artifact, one line each; empty when every checksum holds.

    Raises what `open_artifact` raises for a manifest that cannot be read.
    """
    manifest = _read_manifest(Path(path))
    problems: list[str] = []
    for name, facts in manifest["files"].items():
        file = Path(path) / name
        if not file.is_file():
            problems.append(f"{name}: missing")
        elif hash_file(file) != facts["hash"]:
            problems.append(f"{name}: content differs from its checksum")
    return problems
