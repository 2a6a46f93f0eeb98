"""Settings by the names of the command line: `{"train.n_tokens": 60_000}` is what `--train.n_tokens 60_000` is to a command."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from monoseme.core.config import from_dict, merge, to_dict

C = TypeVar("C")

Settings = Mapping[str, Any]
"""Flag without its dashes -> value; a name with dots, or a table inside a table."""


def nested(said: Settings | None) -> dict[str, Any]:
    """Names with dots as tables: `{"a.b": 1}` is `{"a": {"b": 1}}`."""
    found: dict[str, Any] = {}
    for name, value in (said or {}).items():
        table: Any = nested(value) if isinstance(value, Mapping) else value
        for part in reversed(name.split(".")):
            table = {part: table}
        found = merge(found, table)
    return found


def changed(default: C, said: Settings | None, *, where: str = "settings") -> C:
    """The config `default` with settings on top, validated again. Raises ConfigError for a name or a value it does not take."""
    return from_dict(type(default), merge(to_dict(default), nested(said)), where=where)


def one_of(said: Settings | None, names: Sequence[str]) -> dict[str, Any]:
    """The settings whose name, or whose first part, is among these."""
    return {name: value for name, value in (said or {}).items() if name.partition(".")[0] in names}


def words(said: str | Path | Sequence[str] | None) -> tuple[str, ...]:
    """One word or several, as a tuple."""
    if said is None:
        return ()
    return (str(said),) if isinstance(said, str | Path) else tuple(map(str, said))
