"""What every test shares: shape checks at call time, the texts and models beside the project, and which tests are on."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings
from jaxtyping import install_import_hook

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # before torch loads: threads that wait should sleep, not spin
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

# Every shape that a signature states is checked when it is called. Before the first import of what is checked.
# Not `attribution`: it refuses shapes that do not fit by errors of its own, which tests provoke.
_SHAPED = ("evaluation", "interchange", "kernels", "models", "probes", "saes", "spelling", "splice", "tensors")
install_import_hook([f"monoseme.{package}" for package in _SHAPED], "beartype.beartype")

# The first example pays for imports, so a deadline would fail on a busy machine and nowhere else.
settings.register_profile("monoseme", deadline=None)
settings.load_profile("monoseme")

_SHARED = Path(__file__).resolve().parents[2] / "shared"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--slow", action="store_true", help="also run tests marked slow")
    parser.addoption("--network", action="store_true", help="also run tests that need a remote service")
    parser.addoption(
        "--peers", action="store_true", help="also run tests with other projects' packages in environments of their own"
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        if "slow" in item.keywords and not config.getoption("--slow"):
            item.add_marker(pytest.mark.skip(reason="slow: run with --slow"))
        if "network" in item.keywords and not config.getoption("--network"):
            item.add_marker(pytest.mark.skip(reason="needs a remote service: run with --network"))
        if "peers" in item.keywords and not config.getoption("--peers"):
            item.add_marker(pytest.mark.skip(reason="needs another project's package: run with --peers"))
        if "gpu" in item.keywords and not _has_gpu():
            item.add_marker(pytest.mark.skip(reason="no CUDA device here"))


def _has_gpu() -> bool:
    import torch

    return torch.cuda.is_available()


@pytest.fixture(scope="session", autouse=True)
def files_are_left_to_the_system() -> Iterator[None]:
    """Nothing is flushed to the disk: no power cut is simulated, and thousands of small files would each be waited for."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda handle: None)
        yield


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real models, texts and golden vectors beside the project; the test skips where it is absent."""
    if not _SHARED.is_dir():
        pytest.skip("the development data folder (shared) is not beside the project")
    return _SHARED
