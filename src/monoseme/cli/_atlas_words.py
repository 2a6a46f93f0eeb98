"""The words of commands that exchange SAEs, activations and atlases with other tools: which format, its settings."""

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from monoseme.cli._ask_flags import flag
from monoseme.cli._options import CONFIG, parse, settings, take_files
from monoseme.core.registry import Registry


def value_of(words: Sequence[str], wanted: str) -> str | None:
    """What a flag says, before the others can be read."""
    for word, following in itertools.zip_longest(words, words[1:]):
        given, equals, value = word.partition("=")
        if given == wanted:
            return value if equals else following
    return None


def format_lines(formats: Registry[Any]) -> str:
    """The formats, a line each."""
    return "\n".join(f"  {info.name:<22} {info.summary}" for info in formats.infos())


class OwnFlag(NamedTuple):
    """A flag that a command has for all formats of a kind."""

    kind: Any
    """Its type; a class of settings gives flags without a prefix."""
    text: str
    default: Any


class Exchange(NamedTuple):
    """What a command exchanges, and its flags for that."""

    what: str
    """In the plural: SAEs."""
    formats: Registry[Any]
    flags: Mapping[str, OwnFlag]
    config: str = "Config"
    """The class, nested in that of a format, whose settings are flags without a prefix."""

    def config_of(self, name: str) -> type:
        """The settings of a format. Raises UnknownPluginError."""
        return getattr(self.formats.get(name), self.config)

    def fields(self) -> list[Any]:
        """The flags as fields of a dataclass."""
        return [
            (word, flag(each.kind, each.text, name="" if dataclasses.is_dataclass(each.kind) else None), each.default)
            for word, each in self.flags.items()
        ]


def read_flags(exchange: Exchange, name: str, words: Sequence[str], *, verb: str, summary: str, start: Any = None) -> Any:
    """The flags of a command and, without a prefix, the settings of the format `name` on top of `start` (None: its defaults)."""
    said, rest = take_files(words)
    config = exchange.config_of(name)
    own = ("settings", flag(config, "", name=""), dataclasses.field(default_factory=config))
    made = dataclasses.make_dataclass("Flags", [*exchange.fields(), own], frozen=True, kw_only=True)
    default = made(format=name, settings=settings(config() if start is None else start, said, where="config"))
    return parse(made, rest, verb=verb, summary=summary, default=default, by_hand=[CONFIG])
