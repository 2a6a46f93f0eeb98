"""Packages that load their parts on first use: what they name is there, and no file beside them takes a name away."""

import ast
import importlib
from pathlib import Path

import pytest

from monoseme.core.lazy import lazy_attributes

PACKAGE = Path(__file__).resolve().parents[2] / "src" / "monoseme"
PACKAGES = [
    ".".join(("monoseme", *path.parent.relative_to(PACKAGE).parts))
    for path in sorted(PACKAGE.rglob("__init__.py"))
    if "__all__" in path.read_text(encoding="utf-8")
]


def test_a_name_is_loaded_from_the_module_that_defines_it() -> None:
    attribute = lazy_attributes("json", {"decoder": ["JSONDecoder"]})
    assert attribute("JSONDecoder") is importlib.import_module("json.decoder").JSONDecoder


def test_an_unknown_name_is_an_attribute_error_that_names_the_package() -> None:
    with pytest.raises(AttributeError, match="module 'json' has no attribute 'dump_all'"):
        lazy_attributes("json", {"decoder": ["JSONDecoder"]})("dump_all")


@pytest.mark.parametrize("package", PACKAGES)
def test_every_name_that_a_package_offers_can_be_had(package: str) -> None:
    module = importlib.import_module(package)
    assert [name for name in module.__all__ if not hasattr(module, name)] == []


@pytest.mark.parametrize("package", PACKAGES)
def test_no_offered_name_is_also_a_file_of_the_package(package: str) -> None:
    # Python sets a submodule on its package when it is first imported, whatever stood there before.
    module = importlib.import_module(package)
    folder = Path(str(module.__file__)).parent
    files = {path.stem for path in folder.iterdir() if path.suffix == ".py" or path.is_dir()}
    assert files & set(module.__all__) == set()


@pytest.mark.parametrize("package", PACKAGES)
def test_type_checkers_see_the_homes_that_are_used(package: str) -> None:
    module = importlib.import_module(package)
    for node in ast.walk(ast.parse(Path(str(module.__file__)).read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith(package):
            home = importlib.import_module(node.module)
            assert all(getattr(home, alias.name) is getattr(module, alias.name) for alias in node.names), node.module
