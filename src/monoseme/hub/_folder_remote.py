"""A folder that stands in for the hub: for a disk that a group shares, for machines without a network, and for tests.

As `monoseme.interchange` reads it where an SAE is named:

ROOT/owner/name/refs/main           the id of a revision; so for every branch and tag
ROOT/owner/name/snapshots/ID/...    the files of a revision, which never change; ID is a hash of them
ROOT/owner/name/messages.jsonl      what was sent when: a line for each revision
ROOT/datasets/owner/name/...        likewise for datasets
"""

import datetime
import json
import os
import shutil
from pathlib import Path

from monoseme.core.checking import find_damage
from monoseme.core.errors import AddressError, ArtifactExistsError
from monoseme.core.files import guard_disk, hash_file, hash_json, new_folder, typed, write_atomic
from monoseme.core.folder import LocalFolder
from monoseme.core.lock import held_alone
from monoseme.hub._remote import Fetched, Remote, Sending, Sent
from monoseme.hub._repos import Repo, check_revision
from monoseme.interchange._hub_words import REFS, SNAPSHOTS, revision_in, snapshot_in


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
        before = revision_in(home, branch)
        try:
            with guard_disk(home), held_alone(home):
                if not snapshot.is_dir() or find_damage(LocalFolder(snapshot), {n: {"hash": h} for n, h in facts.items()}):
                    shutil.rmtree(snapshot, ignore_errors=True)
                    with new_folder(snapshot) as draft:
                        shutil.copytree(folder, draft, dirs_exist_ok=True)
                if before != revision:
                    self._note(home, revision, sending)
                    write_atomic(home / REFS / branch, revision + "\n")
        except ArtifactExistsError as error:
            raise AddressError(f"another process is sending to {home}.\n  Wait for it, then type it again.") from error
        except PermissionError as error:
            raise AddressError(f"{home} may not be written ({error.strerror}).") from error
        return Sent(revision, before != revision)

    def fetch(self, repo: Repo, revision: str | None) -> Fetched:
        """The snapshot itself."""
        home = self._folder(repo)
        if not (home / REFS).is_dir():
            raise AddressError(f"there is no {_what(repo)} {repo} in {self.root}.\n  It has: {self._listed() or 'none'}")
        snapshot = snapshot_in(home, revision)
        if links := sorted(path.relative_to(snapshot).as_posix() for path in snapshot.rglob("*") if path.is_symlink()):
            raise AddressError(f"{snapshot} holds links, which may lead anywhere: {', '.join(links[:5])}.\n  A push writes none.")
        return Fetched(snapshot.name, snapshot)

    def _folder(self, repo: Repo) -> Path:
        base = self.root / "datasets" if repo.kind == "dataset" else self.root
        return base / repo.owner / repo.name

    def _note(self, home: Path, revision: str, sending: Sending) -> None:
        """A line of what was sent, for people."""
        now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        line = json.dumps({"revision": revision, "branch": sending.branch, "message": sending.message, "sent": now})
        handle = os.open(home / "messages.jsonl", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            os.write(handle, f"{line}\n".encode())
        finally:
            os.close(handle)

    def _listed(self) -> str:
        found = sorted(p.parent.relative_to(self.root).as_posix() for p in self.root.glob(f"**/{REFS}") if p.is_dir())
        return ", ".join(found[:20]) + (" ..." if len(found) > 20 else "")


def _what(repo: Repo) -> str:
    return "dataset" if repo.kind == "dataset" else "repository"


def folder_command(root: Path, repo: Repo) -> str:
    """How a repository in a folder is typed."""
    path = str(root / repo.owner / repo.name)
    return typed(path if path.startswith(("/", "./", "../", "~")) else f"./{path}")
