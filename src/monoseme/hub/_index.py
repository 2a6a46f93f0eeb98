"""`monoseme.json`: what a repository of ours holds, every file with its size and checksum; written by push, read by pull.

    {"kind": "hub", "schema": 1, "package_version": "0.1.0", "holds": "run" | "sae" | "atlas" | "foreign",
     "saes": {NAME: {"path": "saes/topk", "content_hash": "sha256:..."}}, "explanations": [LABEL, ...],
     "atlas": "owner/name-atlas" | null, "format": null | "saelens", "files": {PATH: {"hash": "sha256:...", "bytes": n}}}

A repository is foreign when it comes: what it says is checked before it is believed.
"""

from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import monoseme
from monoseme.core.errors import AddressError, ForeignError
from monoseme.core.files import hash_file, write_json
from monoseme.core.foreign import as_list, as_object, as_text, as_texts, read_json_object
from monoseme.hub._sendable import SENT_SUFFIXES

INDEX = "monoseme.json"
_SCHEMA = 1
_LONGEST = 255
"""Bytes of a file's name, on every disk."""
_HOLDS = ("run", "sae", "atlas", "foreign")


class Index(NamedTuple):
    """What a repository says it holds."""

    holds: str
    """`run`: SAEs with what belongs to them, laid out as a run; `sae`: one SAE alone; `atlas`: all of an atlas; `foreign`: SAEs
    as another tool keeps them."""
    saes: dict[str, str]
    """Name -> folder; `.` is the repository itself."""
    hashes: dict[str, str]
    """Name -> content hash."""
    explanations: tuple[str, ...]
    atlas: str | None
    format: str | None
    files: dict[str, dict[str, Any]]


def write_index(folder: Path, index: Index) -> None:
    """Writes the index of everything else in the folder; `index.files` is made here."""
    paths = sorted(p for p in folder.rglob("*") if p.is_file() and p.name != INDEX)
    files = {p.relative_to(folder).as_posix(): {"hash": hash_file(p), "bytes": p.stat().st_size} for p in paths}
    saes = {name: {"path": path, "content_hash": index.hashes[name]} for name, path in index.saes.items()}
    content = {
        "kind": "hub",
        "schema": _SCHEMA,
        "package_version": monoseme.__version__,
        "holds": index.holds,
        "saes": saes,
        "explanations": list(index.explanations),
        "atlas": index.atlas,
        "format": index.format,
        "files": files,
    }
    write_json(folder / INDEX, content)


def read_index(folder: Path, *, what: str) -> Index:
    """The index of a fetched repository; `what` names it in messages.

    Raises AddressError for a repository that has none or a newer one, ForeignError for one that is not as it should be.
    """
    if not (folder / INDEX).is_file():
        raise AddressError(
            f"{what} was not made by monoseme push: it has no {INDEX}.\n"
            f"  What another tool put there can be imported:  monoseme import hf://{what} --out OUT"
        )
    where = f"{INDEX} of {what}"
    said = read_json_object(folder / INDEX)
    if said.get("kind") != "hub" or not isinstance(said.get("schema"), int) or said.get("holds") not in _HOLDS:
        raise ForeignError(f"{where} is not an index of monoseme")
    if said["schema"] > _SCHEMA:
        raise AddressError(f"{what} was pushed by a newer monoseme.\n  Update with:  pip install --upgrade monoseme")
    saes = {name: as_object(one, where=where) for name, one in as_object(said.get("saes"), where=where).items()}
    files = {_inside(name, where): _facts(facts, where) for name, facts in as_object(said.get("files"), where=where).items()}
    if not saes and said["holds"] in ("run", "sae"):
        raise ForeignError(f"{where} names no SAE")
    atlas, kept_as = said.get("atlas"), said.get("format")
    return Index(
        holds=str(said["holds"]),
        saes={_inside(name, where): _inside(as_text(one.get("path"), where=where), where) for name, one in saes.items()},
        hashes={name: as_text(one.get("content_hash"), where=where) for name, one in saes.items()},
        explanations=as_texts(as_list(said.get("explanations"), where=where), where=where),
        atlas=None if atlas is None else as_text(atlas, where=where),
        format=None if kept_as is None else as_text(kept_as, where=where),
        files=files,
    )


def is_sent_kind(name: str) -> bool:
    """Whether a file is of a kind that pull takes: none of them can run a program."""
    return name.endswith(SENT_SUFFIXES)


def _facts(value: Any, where: str) -> dict[str, Any]:
    facts = as_object(value, where=where)
    n_bytes = facts.get("bytes")
    if not isinstance(n_bytes, int) or isinstance(n_bytes, bool) or n_bytes < 0:
        raise ForeignError(f"{where} does not say how large its files are")
    return {"hash": as_text(facts.get("hash"), where=where), "bytes": n_bytes}


def _inside(name: str, where: str) -> str:
    """A path below the repository. Raises ForeignError for one that leads out of it, or is hidden."""
    parts = PurePosixPath(name).parts
    plain = all(part not in ("..", "/") and not (part.startswith(".") and part != ".") for part in parts)
    is_named = name.isprintable() and all(len(part.encode()) <= _LONGEST for part in parts)
    if name != "." and (not parts or name.startswith("/") or "\\" in name or ":" in name or not is_named or not plain):
        raise ForeignError(f"{where} names a file outside of the repository, or what no file is called: {name[:80]!a}")
    return name
