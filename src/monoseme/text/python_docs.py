"""The English documentation inside the user's own Python installation, read where it lies.

Documents are pydoc's topics (the language reference), and for each source file of the standard library its docstrings and
longer comments, plus the text files beside them. Nothing is imported or run. What there is differs from one Python version,
and packaging, to the next; the hash of a token store tells them apart.
"""

import ast
import functools
import os
import re
import sysconfig
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from monoseme.core.seeds import derive_seed

_LEFT_OUT = frozenset({"test", "tests", "idle_test", "site-packages", "dist-packages", "__pycache__"})
_ENDINGS = (".py", ".txt", ".rst")
_TOPICS = "pydoc_data/topics.py"
_MIN_CHARS = 300
_MIN_PROSE = 0.85
_MIN_COMMENT_LINES = 3


class DocumentationFile(NamedTuple):
    """One document: `name` is the file within the standard library, or `topics/NAME`."""

    name: str
    text: str


def python_docs(library: Path | None = None) -> Iterator[DocumentationFile]:
    """The documents, in an order fixed by their names' hash, so that every stretch is a mixture.

    `library` is the folder of the standard library (None: that of this interpreter). Yields nothing where the
    installation has no source files. Texts are tidied: no document has fewer than 300 characters.
    """
    library = library or Path(sysconfig.get_path("stdlib"))
    topics = _topics(library / _TOPICS)
    names = [*(f"topics/{topic}" for topic in topics), *_file_names(library)]
    for name in sorted(names, key=_place):
        text = topics[name.removeprefix("topics/")] if name.startswith("topics/") else _file_text(library / name)
        text = text.strip()
        if len(text) >= _MIN_CHARS:
            yield DocumentationFile(name, text)


@functools.cache
def _place(name: str) -> tuple[int, str]:
    return derive_seed(0, "python_docs", name), name


def _file_names(library: Path) -> list[str]:
    names: list[str] = []
    for folder, below, files in os.walk(library):
        # In place, so that installed packages, which may be very many, are not even walked.
        below[:] = [name for name in below if name not in _LEFT_OUT]
        names += [Path(folder, name).relative_to(library).as_posix() for name in files if name.endswith(_ENDINGS)]
    return [name for name in names if name != _TOPICS]


def _topics(path: Path) -> dict[str, str]:
    """pydoc's topics: the file assigns one dictionary of texts."""
    if not path.is_file():
        return {}
    for statement in ast.parse(path.read_bytes()).body:
        if isinstance(statement, ast.Assign) and isinstance(statement.value, ast.Dict):
            return {str(key): str(text) for key, text in ast.literal_eval(statement.value).items()}
    return {}


def _file_text(path: Path) -> str:
    try:
        content = path.read_bytes()
        text = content.decode("utf-8")
    except (OSError, UnicodeDecodeError):
        return ""
    if path.suffix != ".py":
        return text if _is_prose(text) else ""
    parts = sorted([*_docstrings(text), *_comments(text)])
    return "\n\n".join(part for _, part in parts)


def _docstrings(text: str) -> list[tuple[int, str]]:
    """Line and text of each docstring; none for a file that is not Python (templates, fixtures of old versions)."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SyntaxWarning)
            tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError):
        return []
    return [(_first_line(node), found.strip()) for node in _documented(tree) if (found := ast.get_docstring(node))]


_Documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def _documented(node: ast.AST) -> Iterator[_Documented]:
    """Modules, classes and functions. Expressions are not walked: they hold no docstrings and are most of the tree."""
    if isinstance(node, _Documented):
        yield node
    for block in ("body", "orelse", "handlers", "finalbody"):
        for child in getattr(node, block, ()):
            if isinstance(child, ast.stmt | ast.ExceptHandler):
                yield from _documented(child)


def _first_line(node: _Documented) -> int:
    return 0 if isinstance(node, ast.Module) else node.lineno


def _comments(text: str) -> list[tuple[int, str]]:
    """Line and text of each run of three or more whole-line comments that reads as prose rather than as code."""
    runs: list[tuple[int, list[str]]] = []
    previous = -1
    for number, line in enumerate(text.split("\n"), start=1):
        stripped = line.lstrip()
        if not stripped.startswith("#"):
            continue
        if number != previous + 1:
            runs.append((number, []))
        runs[-1][1].append(stripped.lstrip("#").strip())
        previous = number
    joined = [(number, "\n".join(lines)) for number, lines in runs if len(lines) >= _MIN_COMMENT_LINES]
    return [(number, part) for number, part in joined if _is_prose(part)]


def _is_prose(text: str) -> bool:
    """Mostly letters and spaces: tables, grammars, rules of dashes and commented-out code are not."""
    plain = len(re.findall(r"[A-Za-z \n,.']", text))
    return plain >= _MIN_PROSE * max(len(text), 1)
