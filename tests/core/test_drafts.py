"""Drafts: two that are filled at once never meet, and what killed processes left goes."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from monoseme.core import drafts
from monoseme.core.artifact import new_artifact, open_artifact
from monoseme.core.drafts import DRAFT_ENDING, delete_drafts, draft_folder, new_folder

_KILLED = """
import os, signal, sys
from pathlib import Path
from monoseme.core.artifact import new_artifact
from monoseme.core.drafts import new_folder
path = Path(sys.argv[1])
with new_artifact(path, kind="report", config={}) if sys.argv[2] == "artifact" else new_folder(path) as draft:
    os.kill(os.getpid(), signal.SIGKILL)
"""
_DAY_SECONDS = 86_400


def _left(path: Path, *, host: str, pid: int, days: float = 0.0) -> Path:
    draft = path.with_name(f".{path.name}.{host}-01234567.{pid}.draft")
    draft.mkdir()
    then = time.time() - days * _DAY_SECONDS
    os.utime(draft, (then, then))
    return draft


def _of_host(monkeypatch: pytest.MonkeyPatch, name: str) -> str:
    monkeypatch.setattr("socket.gethostname", lambda: name)
    return drafts._where()


def test_two_hosts_with_one_number_of_a_process_do_not_meet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _of_host(monkeypatch, "first")
    with draft_folder(tmp_path / "out") as theirs:
        (theirs / "half.txt").write_text("half")
        _of_host(monkeypatch, "second")
        monkeypatch.setattr(drafts, "_FILLED_HERE", set())  # of another process
        with new_folder(tmp_path / "out") as ours:
            (ours / "whole.txt").write_text("whole")
        assert (theirs / "half.txt").read_text() == "half"
    assert [path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*")] == ["out", "out/whole.txt"]


def test_two_of_one_process_do_not_meet(tmp_path: Path) -> None:
    with draft_folder(tmp_path / "out") as first, draft_folder(tmp_path / "out") as second:
        assert first != second
        assert all(re.fullmatch(rf"\.out\.{DRAFT_ENDING}", draft.name) and draft.is_dir() for draft in (first, second))
    assert list(tmp_path.iterdir()) == []


def test_one_of_another_host_goes_when_it_is_old(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here, there = _of_host(monkeypatch, "here"), "f" * 8
    out, others = tmp_path / "out", tmp_path / "out2"
    lookalike = tmp_path / "a.b"
    stay = [_left(out, host=there, pid=7, days=6), _left(others, host=here, pid=os.getpid())]
    stay.append(_left(tmp_path / "aXb", host=here, pid=os.getpid()))
    go = [_left(out, host=there, pid=os.getppid(), days=8), _left(out, host=here, pid=os.getpid())]
    delete_drafts(out)
    delete_drafts(lookalike)
    assert ([draft.exists() for draft in stay], [draft.exists() for draft in go]) == ([True] * 3, [False] * 2)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="containers are asked for in /proc")
def test_two_containers_of_one_name_do_not_meet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "readlink", lambda _: "pid:[1]")
    with draft_folder(tmp_path / "out") as theirs:
        monkeypatch.setattr(os, "readlink", lambda _: "pid:[2]")
        monkeypatch.setattr(drafts, "_FILLED_HERE", set())  # of another process, which may have the same number
        delete_drafts(tmp_path / "out")
        assert theirs.is_dir()


def test_one_named_before_there_were_hosts_goes_when_it_is_old(tmp_path: Path) -> None:
    fresh, old = (tmp_path / f".out.{pid}.draft" for pid in (4_000_001, 4_000_002))
    fresh.mkdir()
    old.mkdir()
    os.utime(old, (time.time() - 8 * _DAY_SECONDS,) * 2)
    delete_drafts(tmp_path / "out")
    assert (fresh.is_dir(), old.exists()) == (True, False)


@pytest.mark.skipif(os.name == "nt", reason="no SIGKILL on Windows")
@pytest.mark.parametrize("what", ["artifact", "folder"])
def test_what_a_killed_process_left_goes_with_the_next(tmp_path: Path, what: str) -> None:
    words = [sys.executable, "-c", _KILLED, str(tmp_path / "out"), what]
    assert subprocess.run(words, check=False, timeout=60).returncode == -signal.SIGKILL
    (left,) = tmp_path.iterdir()
    assert re.fullmatch(rf"\.out\.{DRAFT_ENDING}", left.name)
    with new_artifact(tmp_path / "out", kind="report", config={}) as draft:
        (draft.folder / "a.txt").write_text("a")
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert list(open_artifact(tmp_path / "out").manifest["files"]) == ["a.txt"]
