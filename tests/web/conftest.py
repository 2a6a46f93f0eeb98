"""Fixtures of the web tests: clients of the app in process, a made-up run, and a real tiny one made once."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from monoseme.web import create_app
from monoseme.web._app import app_over

from .fake_run import FakeRun
from .tiny_run import make_run, write_corpus

HOME = "http://127.0.0.1:8321"


@pytest.fixture
def client() -> Iterator[TestClient]:
    """The app over a made-up run."""
    with TestClient(app_over([FakeRun("demo")]), base_url=HOME) as client:
        yield client


@pytest.fixture(scope="session")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real run of a few seconds."""
    folder = tmp_path_factory.mktemp("web")
    return make_run(folder / "tiny", write_corpus(folder / "corpus.jsonl"))


@pytest.fixture(scope="session")
def real(run_folder: Path) -> Iterator[TestClient]:
    """The app over the real run."""
    with TestClient(create_app([run_folder]), base_url=HOME) as client:
        yield client
