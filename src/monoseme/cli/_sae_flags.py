"""The `--sae` flags: which architectures, and their settings, as a list of configs.

    --sae topk,batchtopk        the architectures
    --sae.k 16,32               a setting of every listed architecture that has it; a list multiplies into a sweep
    --sae.topk.k 16             a setting of one
    --sae.normalise.kind none   a setting inside a setting

A flag that no listed architecture has is an error, with what was probably meant.
"""

import dataclasses
import functools
import itertools
import textwrap
import types
import typing
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from monoseme.cli._declared import HandFlag
from monoseme.core.config import from_dict, merge, suggest
from monoseme.core.errors import ConfigError
from monoseme.core.field_docs import field_docs

PREFIX = "--sae"
SAE_FLAGS = (
    HandFlag(PREFIX, "Architectures, with commas between them: monoseme ls saes."),
    HandFlag(f"{PREFIX}.SETTING", "A setting of every architecture named that has it; a list makes a sweep."),
    HandFlag(f"{PREFIX}.NAME.SETTING", "A setting of one architecture."),
)
_HELP_WIDTH, _INDENT = 110, " " * 6


class SaeFlags(NamedTuple):
    """What the `--sae` words said."""

    names: tuple[str, ...]
    settings: dict[str, str]
    """Dotted setting, as typed after `--sae.`, to its text."""


def take(words: Sequence[str]) -> tuple[SaeFlags, list[str]]:
    """The `--sae` words of a command line, and the other words. Raises ConfigError for a flag without a value."""
    names: tuple[str, ...] = ()
    settings: dict[str, str] = {}
    rest: list[str] = []
    queue = list(words)
    while queue:
        word = queue.pop(0)
        flag, equals, value = word.partition("=")
        if flag != PREFIX and not flag.startswith(f"{PREFIX}."):
            rest.append(word)
            continue
        if not equals:
            if not queue or queue[0].startswith("--"):
                raise ConfigError(f"{flag} needs a value")
            value = queue.pop(0)
        if flag == PREFIX:
            names = tuple(part.strip() for part in value.split(",") if part.strip())
        else:
            settings[flag.removeprefix(f"{PREFIX}.").replace("-", "_")] = value
    return SaeFlags(names, settings), rest


class Listed(NamedTuple):
    """One architecture of a command, before its flags are applied."""

    name: str
    config: type
    """Its Config class."""
    base: Mapping[str, Any] = {}
    """Settings from a preset or a file."""


def build(flags: SaeFlags, listed: Sequence[Listed]) -> list[Any]:
    """One config per architecture and combination of listed values, in the order given.

    Raises ConfigError for a setting that no listed architecture has, or a value of the wrong type.
    """
    _refuse_unknown(flags, {entry.name: entry.config for entry in listed})
    out: list[Any] = []
    for entry in listed:
        chosen = {k: _texts(text, _hint(entry.config, k)) for k, text in _settings_of(entry, flags).items()}
        for values in itertools.product(*chosen.values()):
            data = dict(entry.base)
            for key, value in zip(chosen, values, strict=True):
                data = merge(data, _nested(key, value))
            out.append(from_dict(entry.config, data, where=f"sae.{entry.name}"))
    return out


def _settings_of(entry: Listed, flags: SaeFlags) -> dict[str, str]:
    """The settings that reach one architecture; one that names it wins over one for all."""
    own_prefix = f"{entry.name}."
    shared = {key: text for key, text in flags.settings.items() if _hint(entry.config, key) is not None}
    named = {key.removeprefix(own_prefix): text for key, text in flags.settings.items() if key.startswith(own_prefix)}
    return shared | {key: text for key, text in named.items() if _hint(entry.config, key) is not None}


def _refuse_unknown(flags: SaeFlags, configs: Mapping[str, type]) -> None:
    if flags.settings and not configs:
        raise ConfigError(f"--sae.{next(iter(flags.settings))} needs an architecture.\n  Type, for example:  --sae topk")
    for key in flags.settings:
        if any(key in known(cls) or key in {f"{name}.{k}" for k in known(cls)} for name, cls in configs.items()):
            continue
        allowed = sorted({k for cls in configs.values() for k in known(cls)})
        raise ConfigError(
            f"--sae.{key}: none of {', '.join(configs)} has this setting.{suggest(key.split('.', 1)[-1], allowed)}\n"
            f"  Allowed: {', '.join(allowed)}"
        )


def known(cls: type, prefix: str = "") -> dict[str, Any]:
    """Dotted setting -> type, for a config class and the configs inside it."""
    hints = typing.get_type_hints(cls)
    found: dict[str, Any] = {}
    for field in dataclasses.fields(cls):
        hint = hints[field.name]
        if dataclasses.is_dataclass(hint) and isinstance(hint, type):
            found |= known(hint, f"{prefix}{field.name}.")
        else:
            found[prefix + field.name] = hint
    return found


def _hint(cls: type, key: str) -> Any:
    return known(cls).get(key)


def _nested(key: str, value: Any) -> dict[str, Any]:
    first, _, rest = key.partition(".")
    return {first: _nested(rest, value) if rest else value}


def _texts(text: str, hint: Any) -> list[Any]:
    """The values in a text: a list for a sweep, one for a setting that is itself a list."""
    listed = next((option for option in _options(hint) if typing.get_origin(option) is tuple), None)
    if listed is not None and text.lower() != "none":
        return [[_value(part.strip(), typing.get_args(listed)[0]) for part in text.split(",")]]
    return [_value(part.strip(), hint) for part in text.split(",")]


def _value(text: str, hint: Any) -> Any:
    """A text as the type asks; left a text where it fits none, so that the config's own error names it."""
    options = _options(hint)
    if text.lower() == "none" and type(None) in options:
        return None
    for option in options:
        if option is bool and text.lower() in ("true", "false"):
            return text.lower() == "true"
        for kind in (int, float):
            if option is kind:
                try:
                    return kind(text.replace("_", ""))
                except ValueError:
                    continue
    return text


def _options(hint: Any) -> tuple[Any, ...]:
    """The members of a union; the hint alone where it is none."""
    return typing.get_args(hint) if typing.get_origin(hint) in (typing.Union, types.UnionType) else (hint,)


def help_text(configs: Mapping[str, type]) -> str:
    """The settings of the listed architectures, each with what it is for."""
    lines: list[str] = []
    for name, cls in configs.items():
        lines.append(f"--sae {name}")
        documents = known_documents(cls)
        for key, hint in known(cls).items():
            default = _default(cls, key)
            shown = "" if default is dataclasses.MISSING else f" (default: {default})"
            lines.append(f"  --sae.{key} {_kind(hint)}{shown}")
            lines += textwrap.wrap(documents.get(key, ""), _HELP_WIDTH, initial_indent=_INDENT, subsequent_indent=_INDENT)
    return "\n".join(lines)


def known_documents(cls: type, prefix: str = "") -> dict[str, str]:
    """Dotted setting -> what stands under it in the source."""
    found = {prefix + name: text for name, text in field_docs(cls).items()}
    for name, hint in typing.get_type_hints(cls).items():
        if dataclasses.is_dataclass(hint) and isinstance(hint, type):
            found |= known_documents(hint, f"{prefix}{name}.")
    return found


def _kind(hint: Any) -> str:
    """A type as help shows it: the choices where there are some."""
    if typing.get_origin(hint) is typing.Literal:
        return "{" + ",".join(str(choice) for choice in typing.get_args(hint)) + "}"
    return hint.__name__ if isinstance(hint, type) else str(hint).replace("typing.", "")


def _default(cls: type, key: str) -> Any:
    """The default of a dotted setting, MISSING where there is none."""
    first, *rest = key.split(".")
    field = next(field for field in dataclasses.fields(cls) if field.name == first)
    value: Any = field.default if field.default_factory is dataclasses.MISSING else field.default_factory()
    return value if value is dataclasses.MISSING else functools.reduce(getattr, rest, value)
