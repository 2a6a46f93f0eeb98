"""Fetches SAEs that were pushed: verified, whole or absent, laid out as the run that they come from."""

import shutil
from pathlib import Path
from typing import Any, NamedTuple, cast

from monoseme.core.artifact import MANIFEST, check_artifact, exists_error, open_artifact
from monoseme.core.checking import find_damage
from monoseme.core.drafts import new_folder
from monoseme.core.errors import AddressError, ArtifactDamagedError, ForeignError
from monoseme.core.files import read_json, typed, write_json
from monoseme.core.folder import LocalFolder
from monoseme.core.foreign import as_object
from monoseme.hub._card import elsewhere_flags
from monoseme.hub._index import INDEX, Index, is_sent_kind, read_index
from monoseme.hub._remote import Fetched, Remote, remote_of
from monoseme.hub._repos import Repo, parse_repo
from monoseme.pipeline import RUN_FILE

_ATLAS = "atlas"


class Pulled(NamedTuple):
    """What a pull brought."""

    repo: str
    revision: str
    """Id of the revision, exactly."""
    out: Path
    holds: str
    """`run`, `sae`, or `foreign` for SAEs as another tool keeps them."""
    saes: dict[str, Path]
    """Name -> folder."""
    atlas: Path | None
    """The whole atlas, where it was asked for."""
    annotations: tuple[Path, ...]
    """Explanations as files that `monoseme import --atlas` takes, for an atlas that is made here."""
    n_files: int
    n_bytes: int
    left_out: tuple[str, ...]
    """What the repository holds that was not taken, and settings that were not believed."""
    next: tuple[str, ...]
    """Commands that go on from here."""


def pull(repo: str, *, out: str | Path, revision: str | None = None, atlas: bool = False) -> Pulled:
    """Fetch a repository (owner/name, owner/name@REVISION, the path of one in a folder) into the new folder `out`.

    `revision` is a branch, a tag or an id (None: that of `repo`, else the main branch). `atlas` fetches the whole atlas too,
    after which the folder opens as the run did. Raises ArtifactExistsError, ArtifactDamagedError (nothing is kept), AddressError,
    ForeignError, DiskFullError.
    """
    word, out = parse_repo(repo), Path(out)
    revision = word.revision_or(revision)
    if out.exists() or out.is_symlink():
        raise exists_error(out)
    remote = remote_of(word)
    got = remote.fetch(word.repo, revision)
    index = read_index(got.folder, what=str(word.repo))
    if index.holds == "atlas":
        raise AddressError(f"{word.repo} is an atlas; pull its SAEs, with --atlas.")
    with new_folder(out) as draft:
        left = _take(got, index, draft, what=str(word.repo))
        left += _disarmed(draft)
        if atlas:
            left += _take_atlas(remote, index, draft, what=str(word.repo), revision=revision)
        _verify(draft, index, what=str(word.repo))
        sizes = LocalFolder(draft).sizes()
    saes = {name: out if path == "." else out / path for name, path in index.saes.items()}
    notes = tuple(sorted(path.parent for path in out.glob("explanations/*/*/explanations.json")))
    return Pulled(
        repo=str(word.repo),
        revision=got.revision,
        out=out,
        holds=index.holds,
        saes=saes,
        atlas=out / _ATLAS if atlas else None,
        annotations=notes,
        n_files=len(sizes),
        n_bytes=sum(sizes.values()),
        left_out=tuple(left),
        next=_next(out, index, saes, notes, has_atlas=atlas),
    )


def _take(got: Fetched, index: Index, target: Path, *, what: str) -> list[str]:
    """Copies the files of the index, then hashes the copies. Raises ArtifactDamagedError; what was left out."""
    left = [f"{name}: of a kind that is never taken" for name in index.files if not is_sent_kind(name)]
    names = [name for name in index.files if is_sent_kind(name)]
    for name in names:
        source = got.folder / name
        if source.is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target / name)
    problems = find_damage(LocalFolder(target), {name: index.files[name] for name in names})
    if problems:
        lines = "\n  ".join([f"{what} is damaged, and nothing was kept:", *problems[:20]])
        raise ArtifactDamagedError(f"{lines}\n  Ask its owner to push again, or pull another revision.")
    shutil.copyfile(got.folder / INDEX, target / INDEX)
    known = {*index.files, INDEX}
    others = sorted(p.relative_to(got.folder).as_posix() for p in got.folder.rglob("*") if p.is_file())
    left += [
        f"{name if name.isprintable() else ascii(name)}: not among the files that were pushed"
        for name in others
        if name not in known and not name.startswith(".")
    ]
    return left


def _take_atlas(remote: Remote, index: Index, draft: Path, *, what: str, revision: str | None) -> list[str]:
    """The dataset of the atlas, as the atlas of the run. Raises AddressError where none was pushed."""
    if index.atlas is None or index.holds != "run":
        raise AddressError(f"{what} was pushed without its atlas.\n  Leave --atlas out, and make one with:  monoseme scan")
    named = parse_repo(index.atlas, environment={}).repo
    owner = what.partition("/")[0]
    if named.owner != owner:
        raise ForeignError(f"{what} names an atlas of somebody else: {index.atlas[:100]!r}")
    repo = Repo(named.owner, named.name, "dataset")
    got = remote.fetch(repo, None if revision is None or len(revision) == 40 else revision)
    theirs = read_index(got.folder, what=str(repo))
    left = [f"{repo}: {line}" for line in _take(got, theirs, draft / _ATLAS, what=str(repo))]
    for part in sorted(manifest.parent for manifest in (draft / _ATLAS).rglob(MANIFEST)):
        _require_sound(part, what=str(repo))
    _require_atlas_of(draft / _ATLAS, index, what=what)
    record = read_json(draft / RUN_FILE)
    record["artifacts"] |= {"atlas": _ATLAS} | ({"explanations": f"{_ATLAS}/annotations"} if theirs.explanations else {})
    write_json(draft / RUN_FILE, record)
    return left


def _require_atlas_of(atlas: Path, index: Index, *, what: str) -> None:
    """Raises AddressError for an atlas of other SAEs, which a later push or one that goes on meanwhile has sent."""
    for part in sorted(manifest.parent for manifest in atlas.glob("latents/*/" + MANIFEST)):
        if open_artifact(part).inputs.get("sae") not in index.hashes.values():
            raise AddressError(
                f"the atlas of {what} that is there now is not of the SAEs of this revision: {part.name} is of another one.\n"
                "  Leave --atlas out, or pull the revision that was pushed with it: a branch or a tag names one for both."
            )


def _disarmed(draft: Path) -> list[str]:
    """The record of a run of somebody else names nothing outside of its folder, and lets no code of a model run here."""
    if not (draft / RUN_FILE).is_file():
        return []
    where, said = f"{RUN_FILE} of what was pulled", read_json(draft / RUN_FILE)
    record = as_object(said, where=where)
    config = as_object(record.get("config"), where=where)
    artifacts = as_object(record.get("artifacts"), where=where)
    for path in _paths_in(artifacts):
        if path.startswith(("/", "~")) or "\\" in path or ":" in path or ".." in path.split("/"):
            raise ForeignError(f"{where} names a place outside of its folder: {path[:80]!r}")
    told: list[str] = []
    for table in ("model", "beside"):
        settings = config.get(table)
        if isinstance(settings, dict) and cast(dict[str, Any], settings).get("trust_remote_code"):
            settings["trust_remote_code"] = False
            told.append(f"{table}.trust_remote_code: was on; code that comes with a model runs only if you say so")
    atlas = config.get("atlas")
    if isinstance(atlas, dict) and cast(dict[str, Any], atlas).pop("explain", None) is not None:
        told.append("atlas.explain: which judge is asked is your choice")
    if told:
        write_json(draft / RUN_FILE, record)
    return told


def _paths_in(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [path for item in cast(dict[str, Any], value).values() for path in _paths_in(item)]
    if isinstance(value, list):
        return [path for item in cast(list[Any], value) for path in _paths_in(item)]
    return [value] if isinstance(value, str) else []


def _verify(draft: Path, index: Index, *, what: str) -> None:
    """Every artifact's own checksums, and that each SAE is the one that the index names."""
    if index.holds == "foreign":
        return
    for name, path in index.saes.items():
        _require_sound(draft / path, what=what)
        found = open_artifact(draft / path, kind="sae").content_hash
        if found != index.hashes[name]:
            raise ArtifactDamagedError(f"{what}: {name} is not the SAE that its index names ({found}, not {index.hashes[name]})")
    for part in sorted(manifest.parent for manifest in draft.glob("evaluations/*/*/" + MANIFEST)):
        _require_sound(part, what=what)


def _require_sound(part: Path, *, what: str) -> None:
    problems = check_artifact(part)
    if problems:
        lines = "\n  ".join([f"{part.name} of {what} is damaged, and nothing was kept:", *problems])
        raise ArtifactDamagedError(lines)


def _next(out: Path, index: Index, saes: dict[str, Path], notes: tuple[Path, ...], *, has_atlas: bool) -> tuple[str, ...]:
    """What to type next."""
    place, first = typed(out), typed(next(iter(saes.values()), out))
    if index.holds == "foreign":
        return (f"monoseme import {first} --out {place}-imported",)
    if index.holds == "sae":
        return (f"monoseme show {place}", f"monoseme eval {place} --model MODEL --corpus TEXT")
    config = read_json(out / RUN_FILE)["config"]
    model, corpus = _said(config, "model", "model"), _said(config, "corpus", "source")
    flags = elsewhere_flags(_text(model), _text(corpus), context_len=_said(config, "corpus", "context_len"))
    if has_atlas:
        serve = f"monoseme serve {place}{elsewhere_flags(_text(model), 'bundled')}"
        return (serve, f"monoseme search {place} WORDS", f"monoseme report {place}")
    atlas = typed(out.with_name(f"{out.name}-atlas")) if flags else place
    of_scan = flags.replace("--context_len", "--corpus.context_len")
    made = f"monoseme scan {place}{of_scan} --out {atlas}" if flags else f"monoseme scan {place}"
    scan = [made, *(f"monoseme import {typed(note)} --atlas {atlas}" for note in notes[:3])] if notes else []
    return (f"monoseme show {first}", f"monoseme report {place}", f"monoseme eval {first}{flags}", *scan)


def _said(config: dict[str, Any], table: str, key: str) -> object:
    """A setting of a run that was pulled, of whatever type it is there; None without one."""
    settings = config.get(table)
    return cast(dict[str, Any], settings).get(key) if isinstance(settings, dict) else None


def _text(said: object) -> str | None:
    return said if isinstance(said, str) else None
