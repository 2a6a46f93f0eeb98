"""`manifest.json`: what an artifact is and what it was made from, with a checksum of each of its files; the last file written.

Everything in it defines the content but "environment" (dates, timings, hardware), which is neither hashed nor compared.
"""

import datetime
import json
import os
import platform
from collections.abc import Mapping
from typing import Any, cast

import monoseme
from monoseme.core.errors import ArtifactDamagedError, ArtifactKindError, ArtifactMissingError, ArtifactVersionError
from monoseme.core.files import hash_json, to_json, typed
from monoseme.core.folder import Folder
from monoseme.core.schema import SCHEMAS

MANIFEST = "manifest.json"


def make_manifest(
    *,
    kind: str,
    config: Mapping[str, Any],
    files: Mapping[str, Mapping[str, Any]],
    inputs: Mapping[str, str] | None = None,
    seeds: Mapping[str, int] | None = None,
    environment: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """A manifest; `files` is name -> {"hash": "sha256:...", "bytes": n} of every file but the manifest, `inputs` name -> hash."""
    return {
        "kind": kind,
        "schema": SCHEMAS[kind],
        "package_version": monoseme.__version__,
        "config": dict(config),
        "inputs": dict(inputs or {}),
        "seeds": dict(seeds or {}),
        "files": {name: dict(facts) for name, facts in files.items()},
        "environment": dict(environment or {}),
    }


def write_manifest(folder: Folder, manifest: Mapping[str, Any]) -> None:
    """Makes the folder an artifact: the files that the manifest names must be there. Raises DiskFullError, AddressError."""
    folder.write(MANIFEST, to_json(manifest))


def read_manifest(folder: Folder, *, kind: str | None = None) -> dict[str, Any]:
    """The manifest of the artifact in a folder, of that kind where one is given; its files are not looked at.

    Raises ArtifactMissingError, ArtifactKindError, ArtifactVersionError, ArtifactDamagedError, AddressError.
    """
    manifest = _read(folder)
    needed = {"kind": str, "schema": int, "config": dict, "inputs": dict, "files": dict}
    if not all(isinstance(manifest.get(k), t) for k, t in needed.items()):
        raise ArtifactDamagedError(f"{folder}/{MANIFEST} is not a manifest of monoseme")
    if not isinstance(manifest.get("environment", {}), dict) or not all(isinstance(v, str) for v in manifest["inputs"].values()):
        raise ArtifactDamagedError(f"{folder}/{MANIFEST} has inputs that are no hashes, or an environment that is no table")
    require_facts(manifest["files"], where=f"{folder}/{MANIFEST}")
    known = SCHEMAS.get(manifest["kind"])
    if known is None:
        raise ArtifactKindError(f"{folder} is of the unknown kind {manifest['kind']!r}.\n  Allowed: {', '.join(SCHEMAS)}")
    if manifest["schema"] > known:
        raise ArtifactVersionError(
            f"{folder} has layout {manifest['schema']} of {manifest['kind']!r} (monoseme {manifest.get('package_version')}); "
            f"this is {monoseme.__version__}, which knows layouts up to {known}.\n  Update with:  pip install --upgrade monoseme"
        )
    if kind is not None and manifest["kind"] != kind:
        raise ArtifactKindError(f"{folder} is an artifact of kind {manifest['kind']!r}; {kind!r} is needed here")
    return manifest


def require_facts(files: Mapping[str, Any], *, where: str) -> None:
    """Raises ArtifactDamagedError where a file is not told of by {"hash": "sha256:...", "bytes": n}; `where` says it."""
    for name, facts in files.items():
        known = cast(dict[str, Any], facts) if isinstance(facts, dict) else {}
        n_bytes = known.get("bytes")
        if not isinstance(known.get("hash"), str) or not isinstance(n_bytes, int) or isinstance(n_bytes, bool) or n_bytes < 0:
            raise ArtifactDamagedError(f"{where} does not say of its file {name} what bytes and hash it has")


def _read(folder: Folder) -> dict[str, Any]:
    try:
        return read_json_table(folder, MANIFEST)
    except ArtifactMissingError as error:
        if not folder.names():
            raise ArtifactMissingError(f"there is no folder {folder}, or nothing in it") from error
        raise ArtifactMissingError(f"{folder} holds no finished artifact: it has no {MANIFEST}") from error


def read_json_table(folder: Folder, name: str) -> dict[str, Any]:
    """The table in a JSON file of a folder. Raises ArtifactMissingError, ArtifactDamagedError, AddressError."""
    try:
        table = json.loads(folder.read(name))
    except (ValueError, RecursionError) as error:  # bad syntax or text, a number of too many digits, tables too deep
        raise ArtifactDamagedError(f"{folder}/{name} is not valid JSON ({error})") from error
    if not isinstance(table, dict):
        raise ArtifactDamagedError(f"{folder}/{name} is not a table")
    return table


def content_hash(manifest: Mapping[str, Any]) -> str:
    """Hash of everything that defines the content, the files' checksums included."""
    return hash_json({key: value for key, value in manifest.items() if key != "environment"})


def require_files(folder: Folder, manifest: Mapping[str, Any]) -> None:
    """Raises ArtifactDamagedError for the first file that is absent or has another size than it was written with."""
    sizes = folder.sizes()
    for name, facts in manifest["files"].items():
        if name not in sizes:
            raise lacks(folder, name)
        if sizes[name] != facts["bytes"]:
            raise ArtifactDamagedError(
                f"{folder}/{name} has {sizes[name]:,} bytes instead of {facts['bytes']:,}.\n"
                f"  See what else is wrong with:  monoseme check {typed(str(folder))}"
            )


def lacks(folder: Folder, name: str) -> ArtifactDamagedError:
    """The error for a file that should be there."""
    return ArtifactDamagedError(
        f"{folder} lacks its file {name}.\n  See what else is wrong with:  monoseme check {typed(str(folder))}"
    )


def this_environment(started: datetime.datetime) -> dict[str, Any]:
    """When, for how long and on what something was made that began at `started` and ends now."""
    finished = datetime.datetime.now(datetime.UTC)
    return {
        "started": started.isoformat(timespec="milliseconds"),
        "seconds": round((finished - started).total_seconds(), 3),
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        "n_cpus": os.cpu_count(),
    }
