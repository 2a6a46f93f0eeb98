"""Folders, local or at an address: files are whole or absent."""

import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest

from monoseme.core import folder as folder_module
from monoseme.core.errors import (
    AddressError,
    ArtifactDamagedError,
    ArtifactExistsError,
    ArtifactMissingError,
    ConfigError,
    DiskFullError,
    ExtraMissingError,
)
from monoseme.core.folder import Folder, LocalFolder, is_address, open_folder
from monoseme.core.lock import held_alone, is_held
from monoseme.core.remote import RemoteFolder

NOBODY = (1 << 31) - 1
"""No system gives a process this number."""


@pytest.fixture(params=["local", "memory", "moved"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Folder]:
    """One of each way of writing: renamed here; whole at the end of an upload; uploaded beside its place and moved."""
    if request.param == "local":
        yield LocalFolder(tmp_path / "f")
    elif request.param == "moved":
        yield RemoteFolder(f"file://{tmp_path}/f")
    else:
        address = f"memory://{uuid.uuid4()}/f"
        yield RemoteFolder(address)
        fsspec.filesystem("memory").store.clear()


def test_a_folder_that_is_not_there_is_empty(folder: Folder) -> None:
    assert folder.names() == []
    assert folder.size("a") is None
    assert not folder.has("a")
    folder.remove("a")
    folder.clean()


def test_what_was_written_is_read_back_whole_and_by_ranges(folder: Folder) -> None:
    folder.write("inner/b.bin", b"0123456789A")
    folder.write("a.txt", "é")
    assert folder.names() == ["a.txt", "inner/b.bin"]
    assert folder.sizes() == {"a.txt": 2, "inner/b.bin": 11}
    assert (folder.size("inner/b.bin"), folder.size("inner")) == (11, None)
    assert folder.read("inner/b.bin") == b"0123456789A"
    assert folder.read("inner/b.bin", 3, 5) == b"34"
    assert folder.read("inner/b.bin", 7) == b"789A"
    assert folder.read("inner/b.bin", 4, 4) == b""
    assert folder.read("a.txt").decode() == "é"


def test_a_stream_appears_at_its_end_and_replaces_the_older_file(folder: Folder) -> None:
    folder.write("a", b"old")
    with folder.create("a") as file:
        file.write(b"new")
        file.write(b"er")
        assert folder.read("a") == b"old"
        assert folder.names() == ["a"]
    assert folder.read("a") == b"newer"


def test_a_stream_that_fails_leaves_the_older_file_and_nothing_else(folder: Folder) -> None:
    folder.write("a", b"old")
    for name in ("a", "b"):
        with pytest.raises(ZeroDivisionError), folder.create(name) as file:
            file.write(b"half")
            raise ZeroDivisionError
    assert folder.sizes() == {"a": 3}
    assert folder.read("a") == b"old"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux can be asked to begin")
def test_a_large_local_file_begins_its_way_to_the_disk_before_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[tuple[int, int]] = []
    advise = os.posix_fadvise

    def noted(handle: int, start: int, n_bytes: int, advice: int) -> None:
        begun.append((start, start + n_bytes))
        advise(handle, start, n_bytes, advice)

    monkeypatch.setattr(os, "posix_fadvise", noted)
    monkeypatch.setattr(folder_module, "open_direct", lambda path: None)  # a disk that writes nothing directly
    piece = bytes(range(256)) * 4099  # about 1 MiB
    with LocalFolder(tmp_path).create("a") as file:
        for _ in range(11):
            file.write(piece)
        ends = [0, *(stop for _, stop in begun)]
        assert [start for start, _ in begun] == ends[:-1]
        assert len(begun) == 2
        assert all(stop - start >= 4 << 20 for start, stop in begun)
    assert LocalFolder(tmp_path).read("a") == piece * 11


def test_a_removed_file_is_gone(folder: Folder) -> None:
    folder.write("a", b"1")
    folder.remove("a")
    assert not folder.has("a")


def test_reading_says_whether_a_file_is_absent_or_short(folder: Folder) -> None:
    with pytest.raises(ArtifactMissingError, match=r"no file .*f/a"):
        folder.read("a")
    folder.write("a", b"12345")
    with pytest.raises(ArtifactDamagedError, match="ends at 5 bytes, before 7"):
        folder.read("a", 2, 7)


def test_hidden_leftovers_are_no_files_and_are_cleaned(tmp_path: Path) -> None:
    for folder in (LocalFolder(tmp_path / "f"), RemoteFolder(f"file://{tmp_path}/f")):
        folder.write("inner/a", b"1")
        for leftover in (f".a.{NOBODY}.part", ".a.part", f".a.{NOBODY}.draft"):
            if leftover.endswith(".draft") and isinstance(folder, RemoteFolder):
                continue  # no name of its drafts
            (tmp_path / "f" / "inner" / leftover).write_bytes(b"half")
        assert folder.names() == ["inner/a"]
        folder.clean()
        assert [p.name for p in (tmp_path / "f" / "inner").iterdir()] == ["a"]


def test_the_drafts_of_processes_that_live_are_not_cleaned(tmp_path: Path) -> None:
    folder = LocalFolder(tmp_path)
    with folder.create("shards/a") as file:
        file.write(b"half")
        folder.clean()
    assert folder.sizes() == {"shards/a": 4}
    for pid, lives in ((os.getpid(), True), (os.getppid(), True), (NOBODY, False), (0, False), (-1, False), (1 << 70, False)):
        (tmp_path / f".b.{pid}.draft").write_text("{")
        folder.clean()
        assert (tmp_path / f".b.{pid}.draft").exists() is (lives and os.name != "nt"), pid


_HOLDER = """
import sys
from pathlib import Path
from monoseme.core.folder import LocalFolder
with LocalFolder(Path(sys.argv[1])).alone():
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.mark.skipif(os.name == "nt", reason="nothing is held on Windows")
def test_one_process_at_a_time_holds_a_folder_and_a_kill_lets_go_of_it(tmp_path: Path) -> None:
    folder = LocalFolder(tmp_path / "new")
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", _HOLDER, str(folder)], **pipes) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with (
            pytest.raises(ArtifactExistsError, match=r"another process is writing to .*new.\n  Wait until it ends"),
            folder.alone(),
        ):
            pass
        holder.kill()
        holder.wait(timeout=15)
    assert folder.names() == []
    with folder.alone():
        with pytest.raises(ArtifactExistsError), folder.alone():
            pass
        folder.write("a", b"1")
    assert [p.name for p in folder.path.iterdir()] == ["a"]
    with folder.alone():
        folder.remove("a")
    assert not folder.path.exists()


@pytest.mark.skipif(os.name == "nt", reason="nothing is held on Windows")
@pytest.mark.parametrize("what", ["a link to nowhere", "a link to a file", "a folder"])
def test_what_is_no_file_is_no_lock(tmp_path: Path, what: str) -> None:
    lock, elsewhere = tmp_path / "f" / ".writer.lock", tmp_path / "elsewhere"
    lock.parent.mkdir()
    if what == "a folder":
        lock.mkdir()
    else:
        lock.symlink_to(elsewhere / "gone" if what == "a link to nowhere" else elsewhere)
        elsewhere.write_text("of somebody") if what == "a link to a file" else None
    with (
        pytest.raises(ArtifactDamagedError, match=rf"lock is {what.partition(' to ')[0]}.*\n.*rm -r .*lock"),
        held_alone(lock.parent),
    ):
        pass
    assert not is_held(lock.parent)
    assert lock.is_symlink() or lock.is_dir(), "it is not ours to remove"


def test_where_nothing_can_be_held_the_body_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> int:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr("monoseme.core.lock.os.open", refuse)
    with LocalFolder(tmp_path).alone():
        pass
    with RemoteFolder("memory://held").alone():
        pass


_WRITER = """
import os, signal, sys
from pathlib import Path
from monoseme.core.folder import LocalFolder
with LocalFolder(Path(sys.argv[1])).create("shards/a") as file:
    file.write(b"half")
    file.flush()
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.skipif(os.name == "nt", reason="no SIGKILL on Windows")
def test_a_killed_writer_leaves_no_file(tmp_path: Path) -> None:
    folder = LocalFolder(tmp_path)
    folder.write("shards/a", b"old")
    subprocess.run([sys.executable, "-c", _WRITER, str(tmp_path)], check=False, timeout=60)
    assert len(list((tmp_path / "shards").iterdir())) == 2
    assert folder.sizes() == {"shards/a": 3}
    folder.clean()
    assert [p.name for p in (tmp_path / "shards").iterdir()] == ["a"]


def test_a_local_file_is_mapped_read_only_and_a_remote_one_is_not(tmp_path: Path) -> None:
    folder = LocalFolder(tmp_path)
    folder.write("a", b"abc")
    pages = folder.map("a")
    assert pages is not None
    assert bytes(pages) == b"abc"
    assert not pages.flags.writeable
    assert RemoteFolder(f"file://{tmp_path}").map("a") is None
    folder.write("empty", b"")
    with pytest.raises(ArtifactDamagedError, match="empty"):
        folder.map("empty")
    with pytest.raises(ArtifactMissingError):
        folder.map("none")


def test_a_full_disk_while_streaming_leaves_the_older_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = LocalFolder(tmp_path)
    folder.write("a", b"old")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("monoseme.core.folder.os.fsync", full)
    with pytest.raises(DiskFullError, match="the disk is full"), folder.create("a") as file:
        file.write(b"new")
    monkeypatch.undo()
    assert folder.read("a") == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["a"]


def test_places_are_opened_by_what_they_are_called(tmp_path: Path) -> None:
    assert isinstance(open_folder(tmp_path), LocalFolder)
    assert isinstance(open_folder(f"file://{tmp_path}"), LocalFolder)
    assert open_folder(f"file://{tmp_path}").names() == []
    remote = open_folder("memory://a/b/")
    assert (str(remote), repr(remote)) == ("memory://a/b", "RemoteFolder('memory://a/b')")
    assert is_address("s3://a")
    assert not is_address(tmp_path)


def test_unknown_schemes_and_missing_packages_are_said() -> None:
    with pytest.raises(ConfigError, match='"s4" is not known'):
        open_folder("s4://a/b")
    for scheme, package, extra in (("s3", "s3fs", "s3"), ("gs", "gcsfs", "gcs")):
        try:
            __import__(package)
        except ImportError:
            with pytest.raises(ExtraMissingError, match=rf"monoseme\[{extra}\]"):
                open_folder(f"{scheme}://a/b")


def test_what_the_other_side_objects_to_is_one_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    folder = RemoteFolder("memory://refused")

    class ForeignError(Exception):
        __module__ = "botocore.exceptions"

    for error in (PermissionError("Forbidden"), ForeignError("Forbidden"), TimeoutError("Forbidden")):

        def refuse(*_: object, error: Exception = error, **__: object) -> None:
            raise error

        for method in ("pipe_file", "cat_file", "find", "info", "put_file"):
            monkeypatch.setattr(folder._system, method, refuse, raising=False)
        with pytest.raises(AddressError, match=r"could not write memory://refused/a: Forbidden.\n  Check the address"):
            folder.write("a", b"1")
        with pytest.raises(AddressError, match="could not write memory://refused/a"), folder.create("a") as file:
            file.write(b"1")
        with pytest.raises(AddressError, match="could not list memory://refused"):
            folder.names()


def test_a_mistake_of_ours_is_not_taken_for_one_of_the_network() -> None:
    with pytest.raises(TypeError):
        RemoteFolder("memory://a").write("a", 7)  # type: ignore[arg-type]
