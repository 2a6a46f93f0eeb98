"""A folder that stands in for the hub: whole revisions or none, whoever is killed; what another has put there is not followed."""

import json
import os
import shutil
from pathlib import Path

import pytest

from monoseme.core.errors import AddressError, ConfigError, DiskFullError
from monoseme.core.lock import held_alone
from monoseme.hub import _folder_remote as folder_remote
from monoseme.hub._folder_remote import FolderRemote
from monoseme.hub._remote import Fetched, Sending
from monoseme.hub._repos import Repo
from monoseme.models.hub_words import HubWord, fetched

REPO = Repo("owner", "name")
ID = "ab" * 20


@pytest.fixture
def given(tmp_path: Path) -> Path:
    """What is sent."""
    folder = tmp_path / "given"
    (folder / "saes").mkdir(parents=True)
    (folder / "README.md").write_text("hello")
    (folder / "saes" / "sae.safetensors").write_bytes(b"weights")
    return folder


@pytest.fixture
def remote(tmp_path: Path) -> FolderRemote:
    """Empty."""
    return FolderRemote(tmp_path / "root")


def _home(remote: FolderRemote) -> Path:
    return remote.root / "owner" / "name"


def _notes(remote: FolderRemote) -> list[dict[str, str]]:
    return [json.loads(line) for line in (_home(remote) / "messages.jsonl").read_text().splitlines()]


def _hidden(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob(".*"))


def test_a_link_in_a_snapshot_is_refused_and_the_next_push_mends_it(given: Path, remote: FolderRemote) -> None:
    sent = remote.send(REPO, given, Sending(message="first"))
    snapshot = remote.fetch(REPO, None).folder
    assert (snapshot / "README.md").read_text() == "hello"
    (snapshot / "README.md").unlink()
    (snapshot / "README.md").symlink_to(given / "README.md")
    with pytest.raises(AddressError, match=r"holds links, which may lead anywhere: README.md"):
        remote.fetch(REPO, sent.revision)
    assert remote.send(REPO, given, Sending()).revision == sent.revision
    assert remote.fetch(REPO, None) == Fetched(sent.revision, snapshot)
    assert not (snapshot / "README.md").is_symlink()
    assert _hidden(remote.root) == []


def test_a_snapshot_that_is_itself_a_link_is_refused(given: Path, remote: FolderRemote) -> None:
    sent = remote.send(REPO, given, Sending())
    snapshot = _home(remote) / "snapshots" / sent.revision
    shutil.rmtree(snapshot)
    snapshot.symlink_to(given)
    with pytest.raises(AddressError, match="links"):
        remote.fetch(REPO, None)


def test_what_a_killed_push_left_is_no_revision_and_goes_at_the_next(
    given: Path, remote: FolderRemote, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = _home(remote)
    left = home / "snapshots" / f".{ID}.{os.getpid()}.draft"  # in a container every push may be process 1
    shutil.copytree(given, left)
    shutil.copytree(given, home / "snapshots" / f".{ID}.7.old")
    (home / "refs").mkdir()
    (home / "refs" / ".main.7.draft").write_text(ID)
    (home / ".writer.lock").touch()
    with pytest.raises(AddressError, match=r"no revision 'main'\.\n  It has: none"):
        remote.fetch(REPO, None)
    revision = remote.send(REPO, given, Sending()).revision
    shutil.copytree(given, home / "snapshots" / f".{revision}.{os.getpid()}.draft")
    shutil.rmtree(home / "snapshots" / revision)
    assert remote.send(REPO, given, Sending()).revision == revision
    assert _hidden(remote.root) == []
    assert remote.fetch(REPO, None).revision == revision
    assert len(_notes(remote)) == 1


@pytest.mark.parametrize("at", ["new_folder", "write_atomic", "_note"])
def test_the_first_push_is_no_sae_before_it_is_whole(
    given: Path, remote: FolderRemote, monkeypatch: pytest.MonkeyPatch, at: str
) -> None:
    seen: list[str] = []

    def look(*args: object, **kwargs: object) -> None:
        for use in (lambda: remote.fetch(REPO, None), lambda: fetched(word)):
            with pytest.raises(AddressError) as told:
                use()
            seen.append(str(told.value))
        raise KeyboardInterrupt

    word = HubWord("owner/name", None, "")
    monkeypatch.setenv("MONOSEME_HUB", str(remote.root))
    with monkeypatch.context() as patched:
        patched.setattr(FolderRemote if at == "_note" else folder_remote, at, look)
        with pytest.raises(KeyboardInterrupt):
            remote.send(REPO, given, Sending())
    assert len(seen) == 2
    assert all("no revision 'main'" in line for line in seen)
    assert remote.send(REPO, given, Sending()).is_new


def test_a_push_that_was_killed_before_its_branch_moved_is_told_once(
    given: Path, remote: FolderRemote, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*args: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(folder_remote, "write_atomic", stop)
        with pytest.raises(KeyboardInterrupt):
            remote.send(REPO, given, Sending(message="mine"))
    remote.send(REPO, given, Sending(message="mine"))
    remote.send(REPO, given, Sending(message="mine", revision="v1"))
    assert [(note["branch"], note["message"]) for note in _notes(remote)] == [("main", "mine"), ("v1", "mine")]


def test_a_branch_that_goes_back_is_noted(given: Path, remote: FolderRemote) -> None:
    first = remote.send(REPO, given, Sending()).revision
    (given / "README.md").write_text("other")
    second = remote.send(REPO, given, Sending()).revision
    (given / "README.md").write_text("hello")
    assert remote.send(REPO, given, Sending()).revision == first
    assert [note["revision"] for note in _notes(remote)] == [first, second, first]


def test_a_second_push_at_the_same_time_is_refused_clearly(given: Path, remote: FolderRemote) -> None:
    with (
        held_alone(_home(remote)),
        pytest.raises(AddressError, match=r"another process is sending to .*\n  Wait for it, then type it again"),
    ):
        remote.send(REPO, given, Sending())
    assert remote.send(REPO, given, Sending()).is_new


def test_where_a_branch_is_at_is_asked_while_nobody_else_can_move_it(
    given: Path, remote: FolderRemote, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = remote.send(REPO, given, Sending()).revision
    real = folder_remote.held_alone

    def meanwhile(home: Path) -> object:
        (home / "refs" / "main").write_text(ID)  # another push ends just before we hold the folder
        return real(home)

    monkeypatch.setattr(folder_remote, "held_alone", meanwhile)
    assert remote.send(REPO, given, Sending()) == (first, True)
    assert remote.fetch(REPO, None).revision == first


def test_an_id_means_its_own_files_whatever_a_branch_is_called(given: Path, remote: FolderRemote) -> None:
    first = remote.send(REPO, given, Sending()).revision
    (given / "README.md").write_text("other")
    with pytest.raises(ConfigError, match="is the id of a revision"):
        remote.send(REPO, given, Sending(revision=first))
    second = remote.send(REPO, given, Sending()).revision
    (_home(remote) / "refs" / first).write_text(second)  # by an older version
    assert remote.fetch(REPO, first).revision == first


def test_part_of_an_id_is_told_to_be_one(given: Path, remote: FolderRemote) -> None:
    revision = remote.send(REPO, given, Sending()).revision
    with pytest.raises(
        AddressError, match=f"has no revision '{revision[:7]}'.\n  It has: main\n  Write the whole id: {revision}"
    ):
        remote.fetch(REPO, revision[:7])


@pytest.mark.parametrize(("old", "new"), [("v1", "v1/a"), ("v1/a", "v1")])
def test_a_branch_cannot_be_within_another(given: Path, remote: FolderRemote, old: str, new: str) -> None:
    remote.send(REPO, given, Sending(revision=old))
    with pytest.raises(AddressError, match=f"'{new}' cannot be a branch beside .*'{old}'"):
        remote.send(REPO, given, Sending(revision=new))
    assert remote.fetch(REPO, old)
    assert len(_notes(remote)) == 1


def test_other_repositories_are_named_without_a_walk_over_the_disk(given: Path, remote: FolderRemote) -> None:
    remote.send(REPO, given, Sending())
    (remote.root / "a" / "b" / "c" / "refs").mkdir(parents=True)
    with pytest.raises(AddressError, match=r"no repository owner/nane in .*\n  It has: owner/name$"):
        remote.fetch(Repo("owner", "nane"), None)


def test_a_full_disk_leaves_nothing_and_is_told(given: Path, remote: FolderRemote, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: object, **kwargs: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(shutil, "copytree", full)
    with pytest.raises(DiskFullError, match=r"was there before is untouched.*push again"):
        remote.send(REPO, given, Sending())
    assert not _home(remote).exists()


def test_a_group_may_write_where_its_members_may(given: Path, remote: FolderRemote) -> None:
    before = os.umask(0o002)
    try:
        remote.send(REPO, given, Sending())
    finally:
        os.umask(before)
    assert (_home(remote) / "messages.jsonl").stat().st_mode & 0o060 == 0o060


@pytest.mark.parametrize("said", ["../../../../given", "main", "", "AB" * 20, ID])
def test_a_branch_that_is_at_no_revision_is_told(given: Path, remote: FolderRemote, said: str) -> None:
    remote.send(REPO, given, Sending())
    (_home(remote) / "refs" / "main").write_text(said)
    with pytest.raises(AddressError, match="has no revision 'main'"):
        remote.fetch(REPO, None)


def test_atlases_lie_among_the_datasets(given: Path, remote: FolderRemote) -> None:
    sent = remote.send(REPO.atlas, given, Sending())
    there = remote.root / "datasets" / "owner" / "name-atlas"
    assert remote.address(REPO.atlas) == str(there)
    assert remote.address(REPO.atlas, sent.revision) == str(there / "snapshots" / sent.revision)
    assert (there / "refs" / "main").read_text() == f"{sent.revision}\n"


def test_on_a_disk_without_locks_the_drafts_of_others_stay(
    given: Path, remote: FolderRemote, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folder_remote, "is_held", lambda home: False)
    theirs = _home(remote) / "snapshots" / f".{ID}.7.draft"
    shutil.copytree(given, theirs)
    remote.send(REPO, given, Sending())
    assert theirs.is_dir()


def test_hidden_files_of_others_stay(given: Path, remote: FolderRemote) -> None:
    remote.send(REPO, given, Sending())
    theirs = [_home(remote) / "snapshots" / ".zfs", _home(remote) / "refs" / ".hooks"]
    for folder in theirs:
        folder.mkdir()
        (folder / "kept").write_text("theirs")
    (_home(remote) / "refs" / ".nfs0000").write_text("theirs")
    (_home(remote) / "snapshots" / f".{ID}.old").mkdir()
    (_home(remote) / "refs" / ".main.7.draft").write_text("ours")
    remote.send(REPO, given, Sending())
    assert [(folder / "kept").exists() for folder in theirs] == [True, True]
    assert (_home(remote) / "refs" / ".nfs0000").exists()
    assert not (_home(remote) / "snapshots" / f".{ID}.old").exists()
    assert not (_home(remote) / "refs" / ".main.7.draft").exists()


def test_a_damaged_revision_stays_until_the_new_one_is_whole(
    given: Path, remote: FolderRemote, monkeypatch: pytest.MonkeyPatch
) -> None:
    snapshot = _home(remote) / "snapshots" / remote.send(REPO, given, Sending()).revision
    (snapshot / "README.md").write_text("damaged")
    real = shutil.copytree

    def copy(*args: object, **kwargs: object) -> object:
        assert snapshot.is_dir()
        return real(*args, **kwargs)  # pyright: ignore

    monkeypatch.setattr(shutil, "copytree", copy)
    remote.send(REPO, given, Sending())
    assert (snapshot / "README.md").read_text() == "hello"
    assert _hidden(remote.root) == []
