"""The notebooks of the docs: executed in order, small, with nothing of a machine in them; executed afresh, their claims hold."""

import ast
import importlib
import importlib.util
import re
from pathlib import Path
from typing import Any

import nbformat
import pytest

import monoseme

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "docs" / "notebooks"
NAMES = ("compare", "predicted_and_novel", "steer", "train_and_look")
_MOST_BYTES, _MOST_BYTES_IN_ALL = 700_000, 2_000_000
_MACHINE = re.compile(r"(?:^|[\s\"'=(>])/(?:home|root|tmp|work|usr|Users|var|mnt|opt)/|[A-Z]:\\\\|ipykernel_\d|0x[0-9a-f]{8,}")
_FIRST_LINE = re.compile(r"\]\(notebooks/(\w+)\.ipynb\)")


def _read(name: str) -> Any:
    return nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)


def _code(name: str) -> list[Any]:
    return [cell for cell in _read(name).cells if cell.cell_type == "code"]


def test_the_page_of_the_docs_leads_to_every_notebook() -> None:
    assert sorted(path.stem for path in FOLDER.glob("*.ipynb")) == sorted(NAMES)
    page = (ROOT / "docs" / "notebooks.md").read_text(encoding="utf-8")
    assert sorted(set(_FIRST_LINE.findall(page))) == sorted(NAMES)
    assert [name for name in re.findall(r"!\[[^\]]+\]\((\S+)\)", page) if not (ROOT / "docs" / name).is_file()] == []


@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_is_valid_and_was_executed_in_order(name: str) -> None:
    notebook = _read(name)
    nbformat.validate(notebook)
    assert [cell.execution_count for cell in _code(name)] == list(range(1, len(_code(name)) + 1))
    assert [output for cell in _code(name) for output in cell.outputs if output.output_type == "error"] == []
    assert [output for cell in _code(name) for output in cell.outputs if output.get("name") == "stderr"] == []


@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_ends_with_its_claims_as_asserts(name: str) -> None:
    last = _code(name)[-1]
    assert "claims" in last.metadata.get("tags", [])
    assert sum(isinstance(node, ast.Assert) for node in ast.parse(last.source).body) >= 2


@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_uses_public_names_alone(name: str) -> None:
    for cell in _code(name):
        for node in ast.walk(ast.parse(cell.source)):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "ms":
                assert node.attr in monoseme.__all__
            if isinstance(node, ast.Attribute):
                assert not node.attr.startswith("_")
            if isinstance(node, ast.ImportFrom):
                home = importlib.import_module(str(node.module))
                assert all(hasattr(home, alias.name) and not alias.name.startswith("_") for alias in node.names)
                assert "._" not in f".{node.module}"
            if isinstance(node, ast.Import):
                assert all(importlib.util.find_spec(alias.name) for alias in node.names)


@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_is_small_and_has_nothing_of_a_machine(name: str) -> None:
    text = (FOLDER / f"{name}.ipynb").read_text(encoding="utf-8")
    assert len(text.encode()) < _MOST_BYTES
    assert _MACHINE.findall(re.sub(r"base64,[A-Za-z0-9+/=]+", "", text)) == []
    assert "<script" not in text
    assert set(_read(name).metadata.language_info) == {"name"}


def test_all_notebooks_together_are_small() -> None:
    assert sum(path.stat().st_size for path in FOLDER.glob("*")) < _MOST_BYTES_IN_ALL


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_executed_afresh_holds_what_it_claims(name: str) -> None:
    spec = importlib.util.spec_from_file_location("run_notebooks", ROOT / "scripts" / "run_notebooks.py")
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    fresh = script.executed(FOLDER / f"{name}.ipynb")  # raises where a cell fails, those with the claims too
    shown = [[output.output_type for output in cell.outputs] for cell in fresh.cells if cell.cell_type == "code"]
    assert shown == [[output.output_type for output in cell.outputs] for cell in _code(name)]
