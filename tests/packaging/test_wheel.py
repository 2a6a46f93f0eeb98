"""The wheel and the sdist are whole, and work in an environment that knows nothing of this folder."""

import importlib.util
import re
import sys
import tomllib
from pathlib import Path
from types import ModuleType

import pytest
import yaml

import monoseme

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def checks() -> ModuleType:
    """scripts/check_wheel.py."""
    spec = importlib.util.spec_from_file_location("check_wheel", ROOT / "scripts" / "check_wheel.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["check_wheel"] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_wheel_and_sdist_hold_what_they_should_and_the_sdist_builds_the_same_wheel(checks: ModuleType, tmp_path: Path) -> None:
    built = checks.build(tmp_path / "dist")
    assert checks.problems_of_wheel(built.wheel) == []
    assert checks.problems_of_sdist(built.sdist) == []
    assert checks.rebuilt_differences(built, tmp_path) == []
    assert built.wheel.stat().st_size < 20e6  # bytes; the model and the texts are 8 million of them


@pytest.mark.slow
@pytest.mark.timeout(3000)
def test_the_installed_wheel_runs_the_demo_without_a_network(checks: ModuleType, tmp_path: Path) -> None:
    found = checks.check(tmp_path, dependencies=False, demo=True)
    assert set(found["seconds"]) >= {"install", "monoseme demo --no-serve", "monoseme check"}


def test_every_file_needed_in_the_wheel_is_here(checks: ModuleType) -> None:
    assert [name for name in checks.NEEDED if not (ROOT / "src" / name).is_file()] == []


def test_what_the_sdist_takes_along_is_here() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    included = project["tool"]["hatch"]["build"]["targets"]["sdist"]["include"]
    assert [name for name in included if not (ROOT / name).exists()] == []


def test_the_citation_has_what_its_format_asks_for_and_the_version_of_the_package() -> None:
    """Keys and values by the schema of the Citation File Format, 1.2.0."""
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert cited["cff-version"] == "1.2.0"
    assert {"title", "message", "authors"} <= set(cited)
    assert all(author.get("name") or author.get("family-names") for author in cited["authors"])
    assert str(cited["version"]) == monoseme.__version__
    assert cited["license"] == tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["license"]
    assert set(cited) <= {
        "cff-version",
        "type",
        "title",
        "message",
        "abstract",
        "authors",
        "version",
        "license",
        "keywords",
        "date-released",
    }


def test_the_changelog_tells_of_this_version() -> None:
    heads = re.findall(r"^## \[(.+?)\]", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert heads[0] == "Unreleased" or heads[0] == monoseme.__version__
    assert monoseme.__version__.partition(".dev")[0] in heads
