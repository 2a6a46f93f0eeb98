"""How much of what can be broken is broken: a share of it in the default suite, all of it with --slow."""

import pytest

from tests.interchange import rules


@pytest.fixture(autouse=True, scope="session")
def _share_of_broken_files(request: pytest.FixtureRequest) -> None:
    rules.EVERY = 1 if request.config.getoption("--slow") else 5
