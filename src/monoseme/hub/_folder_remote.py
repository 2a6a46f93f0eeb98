"""A folder that stands in for the hub: for a disk that a group shares, for machines without a network, and for tests.

As `monoseme.interchange` reads it where an SAE is named:

ROOT/owner/name/refs/main           the id of a revision; so for every branch and tag
ROOT/owner/name/snapshots/ID/...    the files of a revision, which never change; ID is a hash of them
ROOT/owner/name/messages.jsonl      what was sent when: a line for each revision
ROOT/datasets/owner/name/...        likewise for datasets

A folder with `refs` is read by revisions alone, so `refs` comes first: what a killed push leaves is never taken for SAEs. It is
hidden, and the next push deletes it.
"""

import contextlib
import datetime
import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

from monoseme.core.checking import find_damage
from monoseme.core.drafts import DRAFT_ENDING, new_folder
from monoseme.core.errors import AddressError, ArtifactExistsError, DiskFullError
from monoseme.core.files import guard_disk, hash_file, hash_json, typed, write_atomic
from monoseme.core.folder import LocalFolder
from monoseme.core.lock import held_alone, is_held
from monoseme.hub._remote import Fetched, Remote, Sending, Sent
from monoseme.hub._repos import Repo, check_revision
from monoseme.models.hub_words import REFS, SNAPSHOTS, revision_in, snapshot_in

_LEFT_SNAPSHOT = re.compile(rf"\.[0-9a-f]{{40}}\.(draft|(\d+\.)?old|{DRAFT_ENDING})")
_LEFT_BRANCH = re.compile(r"\..+\.\d+\.draft")
"""What a killed push leaves is called so (`new_folder`, `_put`, `write_atomic`); other hidden files are not ours."""


class FolderRemote(Remote):
    """Repositories in a folder."""

    def __init__(self, root: Path) -> None:
        """Assigns; folders are made by the first push."""
        self.root = root

    def __repr__(self) -> str:
        return f"FolderRemote({str(self.root)!r})"

    def address(self, repo: Repo, revision: str | None = None) -> str:
        """The folder of the repository, or of one revision."""
        folder = self._folder(repo)
        return str(folder if revision is None else folder / SNAPSHOTS / revision)

    def send(self, repo: Repo, folder: Path, sending: Sending) -> Sent:
        """Copies the files, then moves the branch; a kill between the two leaves the branch where it was."""
        home, branch = self._folder(repo), check_revision(sending.branch)
        facts = {p.relative_to(folder).as_posix(): hash_file(p) for p in sorted(folder.rglob("*")) if p.is_file()}
        revision = hash_json(facts).removeprefix("sha256:")[:40]
        snapshot = home / SNAPSHOTS / revision
        with _told(home), guard_disk(home), held_alone(home), _without_empty_folders(home):
            (home / REFS).mkdir(parents=True, exist_ok=True)
            _delete_drafts(home)
            _require_free(home, branch)
            before = revision_in(home, branch)
            if not _is_whole(snapshot, facts):
                _put(folder, snapshot)
            if before != revision:
                self._note(home, revision, sending)
                write_atomic(home / REFS / branch, revision + "\n")
        return Sent(revision, before != revision)

    def fetch(self, repo: Repo, revision: str | None) -> Fetched:
        """The snapshot itself."""
        home = self._folder(repo)
        if not (home / REFS).is_dir():
            raise AddressError(f"there is no {_what(repo)} {repo} in {self.root}.\n  It has: {self._listed() or 'none'}")
        snapshot = snapshot_in(home, revision)
        if links := _links(snapshot):
            raise AddressError(f"{snapshot} holds links, which may lead anywhere: {', '.join(links[:5])}.\n  A push writes none.")
        return Fetched(snapshot.name, snapshot)

    def _folder(self, repo: Repo) -> Path:
        base = self.root / "datasets" if repo.kind == "dataset" else self.root
        return base / repo.owner / repo.name

    def _note(self, home: Path, revision: str, sending: Sending) -> None:
        """A line of what was sent, for people; none where a push that was killed before its branch moved has left it."""
        now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        line = json.dumps({"revision": revision, "branch": sending.branch, "message": sending.message, "sent": now})
        if _is_noted(home / "messages.jsonl", revision, sending.branch):
            return
        handle = os.open(home / "messages.jsonl", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)  # a group may share it
        try:
            os.write(handle, f"{line}\n".encode())
        finally:
            os.close(handle)

    def _listed(self) -> str:
        homes = [home for pattern in (f"*/*/{REFS}", f"datasets/*/*/{REFS}") for home in self.root.glob(pattern)]
        found = sorted({p.parent.relative_to(self.root).as_posix() for p in homes if p.is_dir()})
        return ", ".join(found[:20]) + (" ..." if len(found) > 20 else "")


@contextlib.contextmanager
def _told(home: Path) -> Iterator[None]:
    """What can hinder a push, in words."""
    try:
        yield
    except ArtifactExistsError as error:
        raise AddressError(f"another process is sending to {home}.\n  Wait for it, then type it again.") from error
    except PermissionError as error:
        raise AddressError(f"{home} may not be written ({error.strerror}).") from error
    except DiskFullError as error:
        raise DiskFullError(
            f"the disk is full: could not write {home}.\n"
            "  What was there before is untouched. Free some space there, then push again."
        ) from error


@contextlib.contextmanager
def _without_empty_folders(home: Path) -> Iterator[None]:
    """A first push that ends early leaves no folders that look like a repository."""
    try:
        yield
    finally:
        for folder in (home / SNAPSHOTS, home / REFS):
            with contextlib.suppress(OSError):  # it holds something, as a rule
                folder.rmdir()


def _put(folder: Path, snapshot: Path) -> None:
    """Copies the files of a revision; a damaged one stays until the new one is whole."""
    aside = snapshot.with_name(f".{snapshot.name}.old")
    with new_folder(snapshot) as draft:
        shutil.copytree(folder, draft, dirs_exist_ok=True)
        if snapshot.is_symlink():
            snapshot.unlink()
        elif snapshot.exists():
            snapshot.rename(aside)
    shutil.rmtree(aside, ignore_errors=True)


def _delete_drafts(home: Path) -> None:
    """Deletes what killed pushes left, where the lock is ours: then nobody else is at work here."""
    if not is_held(home):
        return
    for left in (home / SNAPSHOTS).glob(".*"):
        if _LEFT_SNAPSHOT.fullmatch(left.name):
            shutil.rmtree(left, ignore_errors=True)
    for left in (home / REFS).rglob(".*.draft"):
        if _LEFT_BRANCH.fullmatch(left.name) and left.is_file():
            left.unlink(missing_ok=True)


def _require_free(home: Path, branch: str) -> None:
    """Raises AddressError for a branch that would have to be a folder where another is a file, or the other way round."""
    refs = home / REFS
    within = [str(parent) for parent in Path(branch).parents if (refs / parent).is_file()]
    below = [path.relative_to(refs).as_posix() for path in sorted((refs / branch).rglob("*")) if path.is_file()]
    if within or below:
        raise AddressError(f"{branch!r} cannot be a branch beside {(within + below)[0]!r}, which it would lie in or hold.")


def _is_whole(snapshot: Path, facts: Mapping[str, str]) -> bool:
    """Whether the files of a revision are there as they should be."""
    if not snapshot.is_dir() or _links(snapshot):
        return False
    return not find_damage(LocalFolder(snapshot), {name: {"hash": found} for name, found in facts.items()})


def _links(snapshot: Path) -> list[str]:
    """Links in a snapshot; `.` is the snapshot itself."""
    found = [snapshot] if snapshot.is_symlink() else [path for path in snapshot.rglob("*") if path.is_symlink()]
    return sorted(path.relative_to(snapshot).as_posix() for path in found)


def _is_noted(notes: Path, revision: str, branch: str) -> bool:
    """Whether the last line says that a revision was sent to a branch."""
    try:
        last = json.loads(notes.read_bytes().splitlines()[-1])
        return isinstance(last, dict) and (last.get("revision"), last.get("branch")) == (revision, branch)
    except (OSError, ValueError, IndexError, RecursionError):  # there are none, or what is there is nothing of ours
        return False


def _what(repo: Repo) -> str:
    return "dataset" if repo.kind == "dataset" else "repository"


def folder_command(root: Path, repo: Repo) -> str:
    """How a repository in a folder is typed."""
    path = str(root / repo.owner / repo.name)
    return typed(path if path.startswith(("/", "./", "../", "~")) else f"./{path}")
