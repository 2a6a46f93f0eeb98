"""The words of commands that exchange an atlas with other tools: which atlas, which SAE, which format."""

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from monoseme.atlas import Atlas
from monoseme.cli._ask_flags import flag
from monoseme.cli._options import parse, settings, take_files
from monoseme.core.errors import ConfigError
from monoseme.core.registry import Registry


def chosen_sae(atlas: Atlas, name: str | None) -> str:
    """The SAE that is named, or the only one. Raises ConfigError where several could be meant."""
    if name is not None:
        return name
    names = sorted({key.partition("@")[0] for key in atlas.saes()})
    if len(names) == 1:
        return names[0]
    raise ConfigError(f"this atlas has {len(names)} SAEs.\n  Choose one with --sae: {', '.join(names)}")


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


def read_flags(
    name: str, flags: Mapping[str, tuple[Any, str, Any]], words: Sequence[str], *, config: type, verb: str, summary: str
) -> Any:
    """The flags of a command and, without a prefix, those of `config`, the settings of the format `name`.

    `flags`: flag -> (type, help, default).
    """
    said, rest = take_files(words)
    fields: list[Any] = [
        (word, flag(kind, told, name="" if dataclasses.is_dataclass(kind) else None), default)
        for word, (kind, told, default) in flags.items()
    ]
    fields.append(("settings", flag(config, "", name=""), dataclasses.field(default_factory=config)))
    made = dataclasses.make_dataclass("Flags", fields, frozen=True, kw_only=True)
    default = made(format=name, settings=settings(config(), said, where="config"))
    return parse(made, rest, verb=verb, summary=summary, default=default)
