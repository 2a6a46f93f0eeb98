"""A whole store to compare with, and a disk that is not waited for."""

import os

import pytest
from tests.activations.store.supplies import FakeSupply
from tests.activations.store.writing import bytes_of, write_small


@pytest.fixture
def no_waiting_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hundreds of small files, each flushed to the disk, would take half a minute, and no power cut is simulated here."""
    monkeypatch.setattr(os, "fsync", lambda handle: None)


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    path = tmp_path_factory.mktemp("whole") / "a"
    write_small(path, FakeSupply(padded=True))
    return bytes_of(path)
