"""The front end's ES modules as a graph: what each one imports, and all that a module needs, in the order of evaluation.

Our modules keep to simple forms, so that no parser of JavaScript is needed: imports stand at the top, one a line, by name, from
a relative path.
"""

import posixpath
import re
from collections.abc import Callable
from typing import NamedTuple

IMPORT = re.compile(r'^import \{ ([^{}\n]+) \} from "(\.{1,2}/[\w./-]+\.js)";\n', re.MULTILINE)


class Import(NamedTuple):
    """One import statement."""

    names: str
    """What stands between the braces."""
    path: str
    """The module, from the same root as the one that imports."""


def imports_of(path: str, source: str) -> list[Import]:
    """What the module at `path` imports, in order. Imports that wait until they are needed (`import()`) are not among them."""
    here = posixpath.dirname(path)
    return [Import(names, posixpath.normpath(posixpath.join(here, target))) for names, target in IMPORT.findall(source)]


def in_order(entry: str, read: Callable[[str], str]) -> dict[str, str]:
    """The source of every module that `entry` needs, by path, each behind those it imports; `entry` is the last.

    Raises ValueError for a circle of imports.
    """
    found: dict[str, str] = {}
    open_now: list[str] = []

    def visit(path: str) -> None:
        if path in found:
            return
        if path in open_now:
            raise ValueError(f"modules import one another in a circle: {' > '.join([*open_now, path])}")
        open_now.append(path)
        source = read(path)
        for one in imports_of(path, source):
            visit(one.path)
        open_now.pop()
        found[path] = source

    visit(entry)
    return found
