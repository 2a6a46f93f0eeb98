"""Frozen dataclasses to and from JSON, TOML and YAML, with errors that say what to type.

A config is a frozen, keyword-only dataclass whose fields are plain values, tuples, dictionaries, paths, enums or other
configs. `to_dict` and `from_dict` are inverses. `None` is left out on the way to TOML, which has no such value; every reader
takes an absent key as the default.
"""

import dataclasses
import difflib
import enum
import functools
import json
import math
import types
import typing
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar, cast

from monoseme.core.errors import ConfigError

C = TypeVar("C")
_SUFFIXES = (".json", ".toml", ".yaml", ".yml")


def suggest(word: str, allowed: Iterable[str]) -> str:
    """` Did you mean "x"?` when something allowed is close to `word`, else an empty text."""
    close = difflib.get_close_matches(word, list(allowed), n=1, cutoff=0.6)
    return f' Did you mean "{close[0]}"?' if close else ""


def to_dict(config: Any) -> dict[str, Any]:
    """The config as JSON-able values: tuples become lists, paths and enums texts, configs dictionaries."""
    return {field.name: _plain(getattr(config, field.name)) for field in dataclasses.fields(config) if field.init}


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return to_dict(value)
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in cast(Mapping[Any, Any], value).items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(item) for item in cast(Iterable[Any], value)]
    return value


def from_dict(cls: type[C], data: Mapping[str, Any], *, where: str = "config") -> C:
    """Builds `cls` from plain values.

    Raises ConfigError for an unknown key (with a suggestion), a value of the wrong type, a missing field, or whatever the
    class's own `__post_init__` refuses. `where` names the place in messages.
    """
    hints = _hints(cls)
    if not isinstance(data, Mapping):
        raise ConfigError(f"{where} must be a table of settings, not {data!r}")
    for key in data:
        if key not in hints:
            raise ConfigError(f'{where} has no setting "{key}".{suggest(key, hints)}\n  Allowed: {", ".join(sorted(hints))}')
    values = {key: _typed(hints[key], value, f"{where}.{key}") for key, value in data.items()}
    missing = [name for name in _required(cls) if name not in values]
    if missing:
        raise ConfigError(f"{where} lacks {', '.join(missing)}")
    return cls(**values)


@functools.cache
def _hints(cls: type) -> dict[str, Any]:
    resolved = typing.get_type_hints(cls)
    return {field.name: resolved[field.name] for field in dataclasses.fields(cls) if field.init}


def _required(cls: type) -> list[str]:
    absent = dataclasses.MISSING
    return [f.name for f in dataclasses.fields(cls) if f.init and f.default is absent and f.default_factory is absent]


def _typed(hint: Any, value: Any, where: str) -> Any:
    """`value` as `hint` says, without guessing: 3 is a float where a float is asked for, "3" never is."""
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any:
        return value
    if origin is typing.Annotated:
        return _typed(args[0], value, where)
    if origin in (typing.Union, types.UnionType):
        return _union(args, value, where)
    if origin is typing.Literal:
        return _one_of(args, value, where)
    if origin is not None:
        return _container(origin, args, value, where)
    if dataclasses.is_dataclass(hint):
        kind = cast(type, hint)
        return value if isinstance(value, kind) else from_dict(kind, value, where=where)
    return _scalar(hint, value, where)


def _union(args: tuple[Any, ...], value: Any, where: str) -> Any:
    problems: list[str] = []
    for option in args:
        try:
            return _typed(option, value, where)
        except ConfigError as error:
            problems.append(str(error))
    # The last option is None in "X | None": the message about X is the useful one.
    raise ConfigError(problems[0])


def _one_of(args: tuple[Any, ...], value: Any, where: str) -> Any:
    if value in args and not (isinstance(value, bool) and value not in [a for a in args if isinstance(a, bool)]):
        return value
    allowed = ", ".join(repr(a) for a in args)
    raise ConfigError(f"{where} is {value!r}.{suggest(str(value), [str(a) for a in args])}\n  Allowed: {allowed}")


def _container(origin: Any, args: tuple[Any, ...], value: Any, where: str) -> Any:
    if isinstance(origin, type) and issubclass(origin, Mapping):
        if not isinstance(value, Mapping):
            raise ConfigError(f"{where} must be a table, not {value!r}")
        return {k: _typed(args[1], v, f"{where}.{k}") for k, v in cast(Mapping[str, Any], value).items()}
    if isinstance(value, str) or not isinstance(value, Iterable):
        raise ConfigError(f"{where} must be a list, not {value!r}")
    items = list(cast(Iterable[Any], value))
    if origin is tuple and args and args[-1] is not Ellipsis:
        if len(items) != len(args):
            raise ConfigError(f"{where} must have {len(args)} entries, not {len(items)}")
        return tuple(_typed(a, v, f"{where}[{i}]") for i, (a, v) in enumerate(zip(args, items, strict=True)))
    kind = args[0] if args else Any
    return (tuple if origin is tuple else origin)(_typed(kind, v, f"{where}[{i}]") for i, v in enumerate(items))


def _scalar(hint: Any, value: Any, where: str) -> Any:
    if hint is type(None):
        if value is None:
            return None
    elif hint is float and isinstance(value, int | float) and not isinstance(value, bool):
        return _finite(value, where)
    elif hint is Path and isinstance(value, str | Path):
        return Path(value)
    elif isinstance(hint, type) and issubclass(hint, enum.Enum):
        return _enum(hint, value, where)
    elif isinstance(hint, type) and isinstance(value, hint) and not (hint is int and isinstance(value, bool)):
        return value
    raise ConfigError(f"{where} must be {_kind(hint)}, not {value!r}")


def _finite(value: float, where: str) -> float:
    """`value` as a float. Neither NaN, for which no comparison holds, nor infinity can be written to JSON."""
    try:
        number = float(value)
    except OverflowError:  # a whole number of more than 308 digits
        number = math.inf
    if not math.isfinite(number):
        raise ConfigError(f"{where} must be a finite number, not {number}")
    return number


def _enum(hint: type[enum.Enum], value: Any, where: str) -> enum.Enum:
    try:
        return hint(value)
    except ValueError as error:
        raise ConfigError(f"{where} is {value!r}.\n  Allowed: {', '.join(repr(m.value) for m in hint)}") from error


def _kind(hint: Any) -> str:
    names = {
        int: "a whole number",
        float: "a number",
        str: "a text",
        bool: "true or false",
        Path: "a path",
        type(None): "absent",
    }
    return names.get(hint, getattr(hint, "__name__", str(hint)))


def load_file(path: Path) -> dict[str, Any]:
    """The table in a .json, .toml, .yaml or .yml file. Raises ConfigError."""
    import tomllib

    import yaml

    readers = {".json": json.loads, ".toml": tomllib.loads, ".yaml": yaml.safe_load, ".yml": yaml.safe_load}
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise ConfigError(f"{path} has no known ending.\n  Allowed: {', '.join(_SUFFIXES)}")
    try:
        data = reader(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ConfigError(f"no config file {path}") from error
    except (ValueError, yaml.YAMLError) as error:
        raise ConfigError(f"{path} cannot be read: {error}") from error
    if not isinstance(data, dict):
        raise ConfigError(f"{path} must hold a table of settings")
    return cast(dict[str, Any], data)


def dump_text(data: Mapping[str, Any], suffix: str) -> str:
    """`data` as the text of a file with that ending (.json, .toml, .yaml, .yml). Raises ConfigError."""
    if suffix == ".json":
        return json.dumps(data, indent=2) + "\n"
    if suffix == ".toml":
        import tomli_w

        return tomli_w.dumps(_without_none(data))
    if suffix in (".yaml", ".yml"):
        import yaml

        return yaml.safe_dump(dict(data), sort_keys=False)
    raise ConfigError(f"cannot write a config as {suffix!r}.\n  Allowed: {', '.join(_SUFFIXES)}")


def _without_none(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {k: _without_none(v) for k, v in cast(Mapping[str, Any], value).items() if v is not None}
    if isinstance(value, list):
        return [_without_none(item) for item in cast(list[Any], value)]
    return value


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """`base` with the entries of `over` on top, table by table; lists and values are replaced whole."""
    merged = dict(base)
    for key, value in over.items():
        below = merged.get(key)
        both = isinstance(below, Mapping) and isinstance(value, Mapping)
        merged[key] = merge(cast(Mapping[str, Any], below), cast(Mapping[str, Any], value)) if both else value
    return merged
