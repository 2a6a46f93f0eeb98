"""Lets the tests of this folder import its `atlas_fakes`, and scans a small planted text once for many of them."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from atlas_fakes import planted_atlas

from monoseme.atlas import Atlas, open_atlas


@pytest.fixture(scope="session")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Atlas:
    """An atlas whose latents fire by known rules, explained and scored; not to be written to."""
    folder = tmp_path_factory.mktemp("planted") / "atlas"
    planted_atlas(folder)
    return open_atlas(folder)
