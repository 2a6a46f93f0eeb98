"""A whole store to compare with."""

import pytest
from tests.activations.store.supplies import FakeSupply
from tests.activations.store.writing import bytes_of, write_small


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    path = tmp_path_factory.mktemp("whole") / "a"
    write_small(path, FakeSupply(padded=True))
    return bytes_of(path)
