"""Plug-ins: the public module `saes/topk.py` *is* the plug-in "topk"; others come from entry points.

A registry names a package and the base class its plug-ins extend. Every module of the package whose name does not begin with an
underscore is a plug-in and defines exactly one concrete subclass. Third parties add theirs under the entry-point group
`monoseme.<kind>`, as `name = "module:Class"` or `name = "module"`. Listing reads docstrings from the source and imports nothing.
"""

import ast
import contextlib
import functools
import importlib
import importlib.metadata
import importlib.util
import inspect
import sys
from pathlib import Path
from types import ModuleType
from typing import Any, Generic, NamedTuple, TypeVar, cast

from monoseme.core.config import suggest
from monoseme.core.errors import PluginError, UnknownPluginError

T = TypeVar("T")


class PluginInfo(NamedTuple):
    """One line of `monoseme ls`."""

    name: str
    summary: str
    """First line of the module's docstring; empty for a third party's whose source cannot be found."""
    source: str
    """Dotted module name."""


class Registry(Generic[T]):
    """The plug-ins of one kind."""

    def __init__(self, *, kind: str, package: str, base: str) -> None:
        """`kind` is the word users type (`saes`), `package` holds our own, `base` is `module:Class`."""
        self.kind = kind
        self.package = package
        self._base = base
        self._added: dict[str, type[T]] = {}

    def __repr__(self) -> str:
        return f"Registry(kind={self.kind!r}, package={self.package!r}, base={self._base!r})"

    def names(self) -> list[str]:
        """All names, sorted. Raises PluginError when two plug-ins have one name."""
        return sorted(self._sources())

    def infos(self) -> list[PluginInfo]:
        """Name, summary and source of each plug-in; nothing is imported."""
        sources = self._sources()
        return [PluginInfo(name, _summary(sources[name].split(":")[0]), sources[name]) for name in sorted(sources)]

    def add(self, name: str, cls: type[T]) -> None:
        """Makes a class a plug-in of this process, as in a notebook; adding another one of that name replaces it.

        Raises PluginError for a name that a file or an entry point has, or a class that does not extend the base.
        """
        if not issubclass(cls, self._base_class()):
            raise PluginError(f'"{name}" cannot be added: {cls.__name__} is no {self._base_class().__name__}')
        if name in self._sources() and name not in self._added:
            raise PluginError(f'there is a {self.kind} plug-in named "{name}" already: {self._sources()[name]}')
        _mark(cls, name)
        self._added[name] = cls

    def get(self, name: str) -> type[T]:
        """The class of that name; only its file is imported.

        Raises UnknownPluginError with a suggestion, PluginError when the file fails to import or defines not exactly one class.
        """
        source = self.source(name)
        return self._added[name] if name in self._added else self._load(name, source)

    def source(self, name: str) -> str:
        """Where the plug-in of that name is: `module` or `module:Class`. Raises UnknownPluginError with a suggestion."""
        sources = self._sources()
        if name not in sources:
            raise UnknownPluginError(
                f'no {self.kind} plug-in is named "{name}".{suggest(name, sources)}\n  Allowed: {", ".join(sorted(sources))}'
            )
        return sources[name]

    def _sources(self) -> dict[str, str]:
        found = {name: f"{self.package}.{name}" for name in _modules(self.package)}
        for entry in _entries(_stamped_places()).select(group=f"monoseme.{self.kind}"):
            if found.get(entry.name, entry.value) != entry.value:
                raise PluginError(f'two {self.kind} plug-ins are named "{entry.name}": {found[entry.name]} and {entry.value}')
            found[entry.name] = entry.value
        return found | {name: f"{cls.__module__}:{cls.__qualname__}" for name, cls in self._added.items()}

    def _load(self, name: str, source: str) -> type[T]:
        module_name, _, class_name = source.partition(":")
        base = self._base_class()
        try:
            module = importlib.import_module(module_name)
        except Exception as error:  # a plug-in may fail in any way; its cause is kept
            raise PluginError(f'the {self.kind} plug-in "{name}" ({module_name}) does not import: {error}') from error
        found = getattr(module, class_name, None) if class_name else _only_subclass(module, base)
        if not (isinstance(found, type) and issubclass(found, base)):
            raise PluginError(f'the {self.kind} plug-in "{name}" ({source}) must define exactly one concrete {base.__name__}')
        _mark(found, name)
        return cast("type[T]", found)

    def _base_class(self) -> type:
        module, _, name = self._base.partition(":")
        return cast(type, getattr(importlib.import_module(module), name))


def _mark(cls: type, name: str) -> None:
    """Tells the class, and the Config nested in it, under which name it is known."""
    if "plugin_name" not in cls.__dict__:
        cls.plugin_name = name  # pyright: ignore[reportAttributeAccessIssue]
    config = cls.__dict__.get("Config")  # its own, never the base's
    if isinstance(config, type) and "plugin_name" not in config.__dict__:
        config.plugin_name = name  # pyright: ignore[reportAttributeAccessIssue]


def _only_subclass(module: ModuleType, base: type) -> type | None:
    concrete = [
        value
        for value in vars(module).values()
        if isinstance(value, type)
        and issubclass(value, base)
        and value.__module__ == module.__name__
        and not inspect.isabstract(value)
        and not value.__name__.startswith("_")
    ]
    return concrete[0] if len(concrete) == 1 else None


def _stamped_places() -> tuple[tuple[Path, int], ...]:
    """Where packages are looked for, each with the time when something was last put there (ns); places that can be read."""
    found: list[tuple[Path, int]] = []
    for place in map(Path, sys.path):
        with contextlib.suppress(OSError, ValueError):  # Python passes over these too: not there, not allowed, no path at all
            found.append((place, place.stat().st_mtime_ns))
    return tuple(found)


@functools.lru_cache(maxsize=1)
def _entries(_places: tuple[tuple[Path, int], ...]) -> Any:
    """The entry points of all packages: they are read from a file of each, which takes 0.05 s for 200 packages, so only once.

    What is installed or removed meanwhile changes the time of its place, and all are read again. Has the method `select`; its
    class is another one in Python 3.11.
    """
    return importlib.metadata.entry_points()


@functools.cache
def _modules(package: str) -> tuple[str, ...]:
    spec = importlib.util.find_spec(package)
    places = (spec.submodule_search_locations or []) if spec else []
    return tuple(sorted(p.stem for place in places for p in Path(place).glob("*.py") if not p.stem.startswith("_")))


@functools.cache
def _summary(module: str) -> str:
    path = _source_path(module)
    if path is None:
        return ""
    document = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return document.split("\n", 1)[0]


def _source_path(module: str) -> Path | None:
    """The file of a module, found without importing the module itself (its parent packages are light by rule)."""
    try:
        spec = importlib.util.find_spec(module)
    except (ImportError, ValueError):
        return None
    return Path(spec.origin) if spec and spec.origin and spec.origin.endswith(".py") else None
