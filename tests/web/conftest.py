"""Fixtures of the web tests: clients of the app in process, pages of it in a browser, a made-up run, and a real tiny one."""

import fcntl
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from monoseme.web import create_app
from monoseme.web._app import app_over

from . import browser
from .browser import Chromium, Site
from .fake_run import FakeRun
from .prompt_run import PromptRun
from .tiny_run import make_run, write_corpus

HOME = "http://127.0.0.1:8321"


@pytest.fixture(scope="session")
def client() -> Iterator[TestClient]:
    """The app over a made-up run; no test leaves anything in it."""
    with TestClient(app_over([FakeRun("demo")]), base_url=HOME) as client:
        yield client


@pytest.fixture(scope="session")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real run of a few seconds, made once for all the processes that test."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "web-run"
    folder.mkdir(exist_ok=True)
    made = folder / "made"
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # until it is closed
        if not made.exists():
            shutil.rmtree(folder / "tiny", ignore_errors=True)  # what a process left that failed
            make_run(folder / "tiny", write_corpus(folder / "corpus.jsonl"))
            made.touch()
    return folder / "tiny"


@pytest.fixture(scope="session")
def prompt_run(tmp_path_factory: pytest.TempPathFactory) -> PromptRun:
    """SAEs of every kind that learned nothing, in memory."""
    return PromptRun(tmp_path_factory.mktemp("prompts") / "tiny")


@pytest.fixture(scope="session")
def real(run_folder: Path) -> Iterator[TestClient]:
    """The app over the real run."""
    with TestClient(create_app([run_folder]), base_url=HOME) as client:
        yield client


@pytest.fixture(scope="session")
def chromium() -> Iterator[Chromium]:
    """The browser."""
    pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with browser.chromium() as started:
        yield started


@pytest.fixture(scope="session")
def fake_home() -> Iterator[str]:
    """Address of an app over the made-up run `demo`, and `gone`, whose model is not there."""
    with browser.serving(app_over([FakeRun("demo"), FakeRun("gone", with_model=False, saes=("topk",))])) as home:
        yield home


@pytest.fixture(scope="session")
def real_home(run_folder: Path) -> Iterator[str]:
    """Address of an app over the real run, `tiny`."""
    with browser.serving(create_app([run_folder])) as home:
        yield home


@pytest.fixture
def fake_site(chromium: Chromium, fake_home: str) -> Iterator[Site]:
    """A page on the app over the made-up runs."""
    with chromium.site(fake_home) as site:
        yield site


@pytest.fixture
def real_site(chromium: Chromium, real_home: str) -> Iterator[Site]:
    """A page on the app over the real run."""
    with chromium.site(real_home) as site:
        yield site
