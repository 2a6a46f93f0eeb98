"""Names that a package offers without importing the modules they live in: `import monoseme`, `--help` and `ls` stay light."""

import importlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any


def lazy_attributes(package: str, names: Mapping[str, Sequence[str]]) -> Callable[[str], Any]:
    """The `__getattr__` of a package (PEP 562): a name's module is imported when the name is first asked for.

    `names` gives, for each module under the package, the names that it defines. The package imports the same names under
    TYPE_CHECKING, because type checkers do not read this table; `tests/core/test_lazy.py` compares the two.
    """
    homes = {name: f"{package}.{module}" for module, found in names.items() for name in found}

    def attribute(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(importlib.import_module(homes[name]), name)

    return attribute
