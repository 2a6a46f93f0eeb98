"""Every flag of every command, read from the code: for the pages of reference and for completion in a shell.

Each command is asked for its help and says what it would read (`_declared`); formats and plug-ins add their settings.
"""

import dataclasses
import importlib
import warnings
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from monoseme.cli._atlas_words import Exchange
from monoseme.cli._declared import HandFlag, declared_by
from monoseme.cli._options import CONFIG
from monoseme.cli._sae_flags import known
from monoseme.cli._verbs import names
from monoseme.plugin_kinds import KINDS

_EXCHANGES = ("import", "export")


class Flag(NamedTuple):
    """One flag."""

    name: str
    """As it is typed, with its dashes."""
    kind: str
    """What follows it; empty for a switch."""
    default: str
    text: str
    choices: tuple[str, ...] = ()
    negative: str = ""
    """The flag that turns it off, of a switch."""


class Command(NamedTuple):
    """A command, or one of the things that it is asked for (`study temporal`)."""

    name: str
    flags: tuple[Flag, ...]


def commands() -> list[Command]:
    """All commands in the order of `monoseme --help`; those that take a name before their flags once for each name."""
    return [command for verb in names() if verb != "completion" for command in commands_of(verb)]


def sae_settings() -> dict[str, tuple[str, ...]]:
    """Architecture -> its dotted settings."""
    return {name: tuple(known(KINDS["saes"].get(name).Config)) for name in KINDS["saes"].names()}


def commands_of(verb: str) -> Iterator[Command]:
    """A command, and what it may be asked for; each with its flags."""
    if verb in _EXCHANGES:
        yield from _exchanging(verb, importlib.import_module(f"monoseme.cli.{verb}").exchanges())
        return
    if verb in ("study", "bench"):
        for name in _names_before_flags(verb):
            found = declared_by(verb, name)
            yield Command(f"{verb} {name}", (*_by_hand(found.by_hand), *flags_of(found.kind, found.default)))
        return
    # `plan` has the flags of the command that it plans besides its own, which it reads first
    found = declared_by(verb, "train") if verb == "plan" else declared_by(verb)
    plugins = [flag for flag in found.by_hand if flag.plugins]
    by_hand, typed = _by_hand(found.by_hand), flags_of(found.kind, found.default)
    own = [flag for flag in typed if not flag.name.startswith(tuple(f"{each.name}." for each in plugins))]
    flags = {flag.name: flag for flag in ((*by_hand, *own) if plugins else (*own, *by_hand))}
    yield Command(verb, tuple(flags.values()))
    for each in plugins:
        for name in KINDS[each.plugins].names():
            settings = _settings(KINDS[each.plugins].get(name).Config)
            yield Command(f"{verb} {each.name} {name}", tuple(f._replace(name=f"{each.name}.{f.name[2:]}") for f in settings))


def _by_hand(flags: Iterable[HandFlag]) -> list[Flag]:
    return [Flag(flag.name, "", "", flag.text) for flag in flags]


def _settings(config: Any) -> list[Flag]:
    """The flags of one plug-in's settings, without their prefix."""
    return flags_of(config, config()) if dataclasses.fields(config) else []


def _exchanging(verb: str, exchanges: Iterable[Exchange]) -> Iterator[Command]:
    """The flags for all formats, then the settings of each, which are flags without a prefix."""
    exchanges = list(exchanges)
    found: dict[str, dict[str, Flag]] = {}
    for exchange in exchanges:
        kind = dataclasses.make_dataclass("Flags", exchange.fields(), frozen=True, kw_only=True)
        for flag in flags_of(kind, kind()):
            found.setdefault(flag.name, {})[exchange.what] = flag
    shared = [_of_all(of) if len(of) == len(exchanges) else _of_some(of) for of in found.values()]
    yield Command(verb, (*shared, *_by_hand([CONFIG])))
    for exchange in exchanges:
        for name in exchange.formats.names():
            yield Command(f"{verb} --format {name} ({exchange.what})", tuple(_settings(exchange.config_of(name))))


def _of_all(flags: dict[str, Flag]) -> Flag:
    """A flag that is there whatever is exchanged; where it says different things, each with what it is said of."""
    first = next(iter(flags.values()))
    return first if len({flag.text for flag in flags.values()}) == 1 else _of_some(flags)


def _of_some(flags: dict[str, Flag]) -> Flag:
    of: dict[str, list[str]] = {}
    for what, flag in flags.items():
        of.setdefault(flag.text, []).append(what)
    told = [f"{', '.join(whats)}: {text}" for text, whats in of.items()]
    return next(iter(flags.values()))._replace(text=" ".join(line[:1].upper() + line[1:] for line in told))


def _names_before_flags(verb: str) -> list[str]:
    if verb == "study":
        return KINDS["studies"].names()
    return list(importlib.import_module("monoseme.benchmarks").BENCHMARKS)


def flags_of(kind: Any, default: Any) -> list[Flag]:
    """The flags of a class of settings, as tyro makes them; none for None."""
    if kind is None:
        return []
    tyro = importlib.import_module("tyro")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # get_parser: the only public way to a parser without running it
        parser = tyro.extras.get_parser(kind, default=default, use_underscores=True)
    return [
        _flag(action)
        for action in parser._actions
        if any(word.startswith("--") and word != "--help" for word in action.option_strings)
    ]


def _flag(action: Any) -> Flag:
    text, _, default = " ".join((action.help or "").replace("%%", "%").split()).rpartition(" (default: ")
    if not text:
        text, default = default.removeprefix("(default: ") if not default.startswith("(default: ") else "", ""
    name = next(word for word in action.option_strings if word.startswith("--"))
    negative = next((word for word in action.option_strings if word.rpartition(".")[2].lstrip("-").startswith("no_")), "")
    return Flag(name, action.metavar or "", default.removesuffix(")"), text, tuple(action.choices or ()), negative)
