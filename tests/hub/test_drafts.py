"""What killed pushes and pulls leave of temporary files and drafts goes at the next one; what lives stays."""

import errno
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from monoseme.core.drafts import delete_drafts, draft_folder
from monoseme.core.errors import DiskFullError
from monoseme.core.lock import held_alone
from monoseme.hub import _push as pushing
from monoseme.hub import pull, push
from monoseme.hub._drafts import push_folder, room_for_files
from monoseme.pipeline import RunFolder

if sys.platform == "win32":
    pytest.skip("nothing is held on Windows", allow_module_level=True)


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where temporary files lie."""
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    monkeypatch.setattr("monoseme.hub._push._PICTURES", ())
    return tmp_path / "tmp"


def _left(temporary: Path, name: str, *, age_seconds: float, lock: bool = True, mark: bool = True) -> Path:
    folder = temporary / f"monoseme-push-{name}"
    (folder / "saes").mkdir(parents=True)
    if mark:
        (folder / ".made-by-a-push").touch()
    if lock:
        (folder / ".writer.lock").touch()
    then = time.time() - age_seconds
    os.utime(folder, (then, then))
    return folder


def test_what_killed_pushes_left_goes_and_what_lives_stays(temporary: Path) -> None:
    dead = _left(temporary, "dead", age_seconds=60)
    old = _left(temporary, "old", age_seconds=100_000, lock=False)
    begins = _left(temporary, "begins", age_seconds=60, lock=False)
    young = _left(temporary, "young", age_seconds=0)
    alive = _left(temporary, "alive", age_seconds=60)
    (temporary / "others").mkdir()
    (temporary / "monoseme-push-link").symlink_to(temporary / "others")
    with held_alone(alive):
        os.utime(alive, (0, 0))
        with push_folder() as ours:
            assert ours.is_dir()
        assert not ours.exists()
        assert [folder.exists() for folder in (dead, old, begins, young, alive, temporary / "others")] == [False] * 2 + [True] * 4


def test_folders_of_somebody_that_are_called_likewise_stay(temporary: Path) -> None:
    killed_run = _left(temporary, "experiment", age_seconds=60, mark=False)
    notes = _left(temporary, "notes", age_seconds=100_000, lock=False, mark=False)
    with push_folder():
        assert [folder.exists() for folder in (killed_run, notes)] == [True, True]


def test_what_a_push_gathered_goes_before_its_mark(temporary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    left: list[str] = []
    real = tempfile.TemporaryDirectory.cleanup

    def cleanup(made: tempfile.TemporaryDirectory[str]) -> None:
        left.extend(path.name for path in Path(made.name).iterdir())
        real(made)

    monkeypatch.setattr(tempfile.TemporaryDirectory, "cleanup", cleanup)
    with push_folder() as ours:
        (ours / "saes").mkdir()
    assert left == [".made-by-a-push"]
    assert list(temporary.iterdir()) == []


def test_a_push_that_is_killed_holds_its_folder_no_longer(temporary: Path) -> None:
    code = (
        "import os, signal, tempfile\n"
        f"tempfile.tempdir = {str(temporary)!r}\n"
        "from monoseme.hub._drafts import push_folder\n"
        "with push_folder() as folder:\n"
        "    (folder / 'saes').mkdir()\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -9
    (left,) = temporary.glob("monoseme-push-*")
    os.utime(left, (0, 0))
    with push_folder():
        assert not left.exists()
    assert list(temporary.iterdir()) == []


def test_a_group_may_share_a_lock(tmp_path: Path) -> None:
    before = os.umask(0o002)
    try:
        with held_alone(tmp_path / "shared"):
            assert (tmp_path / "shared" / ".writer.lock").stat().st_mode & 0o777 == 0o664
    finally:
        os.umask(before)


def test_a_full_disk_of_temporary_files_is_told_as_such(made: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: object, **kwargs: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "weights")

    monkeypatch.setattr(pushing, "fill_with_saes", full)
    with pytest.raises(DiskFullError, match=r"temporary files is full: .*tmp\.\n.*nothing was sent.*TMPDIR"):
        push(made.path, str(tmp_path / "hub/me/tiny"))
    assert not (tmp_path / "hub").exists()
    with pytest.raises(ValueError, match="other"), room_for_files():
        raise ValueError("other")


def test_drafts_of_killed_pulls_go_and_those_of_others_stay(tmp_path: Path) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    with draft_folder(tmp_path / "back") as draft:
        made = draft.name.removesuffix(f"{os.getpid()}.draft")
    dead, own = tmp_path / f"{made}{gone.pid}.draft", tmp_path / f"{made}{os.getpid()}.draft"
    alive, others = tmp_path / f"{made}{os.getppid()}.draft", tmp_path / f".back2{made[5:]}{gone.pid}.draft"
    for folder in (dead, own, alive, others):
        (folder / "saes").mkdir(parents=True)
    (tmp_path / f".back.x{gone.pid}.draft").write_text("no folder, no number")
    delete_drafts(tmp_path / "back")
    assert [folder.exists() for folder in (dead, own, alive, others)] == [False, False, True, True]
    assert (tmp_path / f".back.x{gone.pid}.draft").exists()


def test_a_pull_goes_on_after_one_of_the_same_number_was_killed(made: RunFolder, tmp_path: Path) -> None:
    push(made.sae("topk"), str(tmp_path / "hub/me/tiny"))
    (tmp_path / f".back.{os.getpid()}.draft" / "saes").mkdir(parents=True)
    assert pull(str(tmp_path / "hub/me/tiny"), out=tmp_path / "back").n_files
    assert not list(tmp_path.glob(".back*"))


def test_without_locks_and_of_other_users_nothing_is_deleted(temporary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dead = _left(temporary, "dead", age_seconds=60)
    with monkeypatch.context() as patched:
        patched.setattr("monoseme.hub._drafts.is_held", lambda folder: False)
        with push_folder():
            assert dead.exists(), "this disk knows no locks: it may be at work"
    with monkeypatch.context() as patched:
        patched.setattr(os, "getuid", lambda: dead.stat().st_uid + 1)
        with push_folder():
            assert dead.exists(), "it is somebody else's"
