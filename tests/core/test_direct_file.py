"""Files written past the page cache hold exactly what was written."""

import errno
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monoseme.core import direct_file
from monoseme.core.direct_file import open_direct

PIECE = 3 * 4096


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(direct_file, "_PIECE_BYTES", PIECE)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("direct")
    if open_direct(made / "probe") is None:
        pytest.skip("the system or this file system writes no file directly")
    return made


@given(st.lists(st.integers(0, 3 * PIECE), max_size=5), st.integers(0, 4))
def test_any_pieces_make_their_file(folder: Path, sizes: list[int], flushed: int) -> None:
    data = [bytes([i + 1]) * size for i, size in enumerate(sizes)]
    with open_direct(folder / "file") as out:  # pyright: ignore[reportOptionalContextManager]
        for i, piece in enumerate(data):
            out.write(piece)
            if i == flushed:
                out.flush()
    assert (folder / "file").read_bytes() == b"".join(data)


def test_what_is_flushed_is_there_for_others(folder: Path) -> None:
    with open_direct(folder / "file") as out:  # pyright: ignore[reportOptionalContextManager]
        out.write(b"a" * 5000)
        out.flush()
        assert (folder / "file").read_bytes() == b"a" * 5000


def test_a_disk_that_refuses_direct_writes_gets_usual_ones(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, refused = os.write, []

    def write(fd: int, data: memoryview) -> int:
        if len(data) == PIECE and not refused:
            refused.append(fd)
            raise OSError(errno.EINVAL, "blocks of another size")
        return real(fd, data)

    monkeypatch.setattr(direct_file.os, "write", write)
    with open_direct(folder / "file") as out:  # pyright: ignore[reportOptionalContextManager]
        out.write(b"b" * (2 * PIECE + 7))
    assert refused
    assert (folder / "file").read_bytes() == b"b" * (2 * PIECE + 7)


def test_a_full_disk_is_told_and_not_tried_again(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def write(fd: int, data: memoryview) -> int:
        raise OSError(errno.ENOSPC, "full")

    out = open_direct(folder / "file")
    monkeypatch.setattr(direct_file.os, "write", write)
    with pytest.raises(OSError, match="full"):
        out.write(b"c" * PIECE)  # pyright: ignore[reportOptionalMemberAccess]
    monkeypatch.undo()
    out.close()  # pyright: ignore[reportOptionalMemberAccess]


def test_a_file_system_without_direct_writes_gives_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object) -> int:
        raise OSError(errno.EINVAL, "no direct writes")

    monkeypatch.setattr(direct_file.os, "open", refuse)
    assert open_direct(tmp_path / "file") is None
