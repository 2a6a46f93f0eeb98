"""The house rules that a machine can check: small files that say what they are for, light imports, documented dependencies."""

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SOURCES = sorted((ROOT / "src" / "monoseme").rglob("*.py"))
_MOST_LINES = 400
_MOST_FUNCTION_LINES = 60


def _functions(path: Path) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]


def test_no_file_is_longer_than_the_ceiling() -> None:
    long = {str(p.relative_to(ROOT)): n for p in SOURCES if (n := len(p.read_text(encoding="utf-8").splitlines())) > _MOST_LINES}
    assert long == {}


def test_no_function_is_longer_than_the_ceiling() -> None:
    long = [
        f"{path.relative_to(ROOT)}:{node.name}"
        for path in SOURCES
        for node in _functions(path)
        if (node.end_lineno or 0) - node.lineno + 1 > _MOST_FUNCTION_LINES
    ]
    assert long == []


def test_every_module_says_what_it_is_for() -> None:
    mute = [str(p.relative_to(ROOT)) for p in SOURCES if not ast.get_docstring(ast.parse(p.read_text(encoding="utf-8")))]
    assert mute == []


def test_no_module_is_called_utils() -> None:
    assert [p for p in SOURCES if p.stem in ("utils", "util", "helpers", "common", "misc")] == []


def test_how_wide_an_interval_is_stands_in_one_place() -> None:
    found = [
        str(path.relative_to(ROOT))
        for path in SOURCES
        if "1.96" in (text := path.read_text(encoding="utf-8"))
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Constant) and node.value == 1.96
    ]
    assert found == ["src/monoseme/core/intervals.py"]


def test_every_dependency_has_its_reason_in_the_docs() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    groups = [project["dependencies"], *project["optional-dependencies"].values()]
    names = {re.split(r"[\[<>=;, ]", entry)[0] for group in groups for entry in group} - {"monoseme"}
    document = (ROOT / "docs" / "dependencies.md").read_text()
    assert sorted(name for name in names if f"`{name}`" not in document) == []


def test_every_verb_has_a_page_in_the_docs() -> None:
    from monoseme.cli._verbs import names

    assert [verb for verb in names() if not (ROOT / "docs" / "verbs" / f"{verb}.md").is_file()] == []


@pytest.mark.parametrize("words", [["--help"], ["ls", "saes"], ["ls"]])
def test_help_and_listing_import_nothing_heavy(words: list[str]) -> None:
    code = (
        "import sys; from monoseme.cli.main import main; main(sys.argv[1:]);"
        "sys.stderr.write(' '.join(m for m in ('torch', 'transformers', 'tyro', 'pyarrow', 'altair') if m in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    assert done.stdout.strip()
