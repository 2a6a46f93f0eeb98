"""The tiny run of `_tiny.py`, which processes under test run as a script, as a module."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture(scope="session")
def tiny() -> ModuleType:
    """The module `_tiny.py`, loaded by path since tests are no package."""
    path = Path(__file__).parent / "_tiny.py"
    spec = importlib.util.spec_from_file_location("_tiny_training", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module
