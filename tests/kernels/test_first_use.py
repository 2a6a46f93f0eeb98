"""Loops are compiled once for a machine, which is said; a second process finds them, also where the package is read-only."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("numba")

_PACKAGE = Path(__file__).parents[2] / "src" / "monoseme"

_USE = """
import sys
from monoseme.core.display import PlainDisplay, use_display
import numpy as np, torch
with use_display(PlainDisplay()):
    from monoseme.kernels import kernels_named
    from monoseme.kernels._first_use import compiled
    from monoseme.tensors.sparse import SparseCodes
    codes = SparseCodes.from_topk(torch.tensor([[0, 2]]), torch.tensor([[1.0, 3.0]]), 5)
    x_hat = kernels_named("numba").decode(codes, torch.eye(5))
assert x_hat.tolist() == [[1.0, 0.0, 3.0, 0.0, 0.0]]
sys.stdout.write(f"{compiled().n_loops}")
"""


def _use(source: Path, **environment: str) -> list[str]:
    """What a fresh process says, line by line; the last one is how many loops it compiled."""
    plain = {"PATH": "/usr/bin:/bin", "HOME": str(source / "nobody"), "PYTHONPATH": str(source)}
    done = subprocess.run(
        [sys.executable, "-c", _USE], env=plain | environment, capture_output=True, text=True, timeout=250, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """The package at a place of its own, never used before."""
    shutil.copytree(_PACKAGE, tmp_path / "src" / "monoseme", ignore=shutil.ignore_patterns("__pycache__", "static", "*.nb?"))
    return tmp_path / "src"


def _kept(folder: Path) -> list[Path]:
    return list(folder.rglob("*.nbc"))


def test_a_second_process_compiles_nothing_and_says_nothing(source: Path) -> None:
    first, second = _use(source), _use(source)
    assert first[0].startswith("compiling kernels not used on this machine before")
    assert int(first[-1]) >= 1
    assert second == ["0"]
    assert _kept(source / "monoseme" / "kernels" / "__pycache__")


@pytest.mark.slow
def test_a_change_of_one_file_with_loops_compiles_all_again(source: Path) -> None:
    """A helper is compiled into loops of other files, which Numba by itself would take from what it kept."""
    _use(source)
    other = source / "monoseme" / "kernels" / "_cpu_select.py"
    other.write_text(other.read_text() + "\n# changed\n")
    assert int(_use(source)[-1]) >= 1


@pytest.mark.slow
def test_where_the_source_cannot_be_written_the_users_cache_keeps_them(source: Path, tmp_path: Path) -> None:
    folder = source / "monoseme" / "kernels" / "__pycache__"
    folder.write_text("")  # a file where the folder would be: even root cannot write there
    cache = tmp_path / "cache"
    assert int(_use(source, XDG_CACHE_HOME=str(cache))[-1]) >= 1
    assert _kept(cache / "monoseme")
    assert _use(source, XDG_CACHE_HOME=str(cache)) == ["0"]


@pytest.mark.slow
def test_where_nothing_can_be_written_they_are_compiled_each_time_and_it_is_said(source: Path, tmp_path: Path) -> None:
    (source / "monoseme" / "kernels" / "__pycache__").write_text("")
    (tmp_path / "cache").write_text("")
    said = _use(source, XDG_CACHE_HOME=str(tmp_path / "cache"))
    assert any("NUMBA_CACHE_DIR" in line for line in said)
    assert int(said[-1]) >= 1


@pytest.mark.slow
def test_numba_cache_dir_says_where(source: Path, tmp_path: Path) -> None:
    _use(source, NUMBA_CACHE_DIR=str(tmp_path / "here"))
    assert _kept(tmp_path / "here")
    assert not _kept(source)
