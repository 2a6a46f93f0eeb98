"""What a command declares of its flags, where it reads them: a class of settings for tyro, and flags that it reads by hand.

Readers (`_options.parse`, `_run_words.read_words`) declare, then read. The list of all flags asks a command for its help and
takes what it declares instead: it knows no flag that the command does not read.
"""

import contextlib
import contextvars
import importlib
import io
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

COMMON = {
    "--help": "Tells the options and ends.",
    "--quiet": "Warnings only.",
    "--json": "One machine-readable result on the output stream.",
    "--kernel": "NAME: what SAEs are computed with: auto, reference, torch, numba, triton.",
}
"""Flags of all commands."""


class HandFlag(NamedTuple):
    """A flag that a command reads by hand."""

    name: str
    """As it is typed, with its dashes."""
    text: str
    is_switch: bool = False
    """Whether no value follows."""
    plugins: str = ""
    """The kind of plug-in that it names (`explainers`), whose settings are then flags below it; empty for any other flag."""


class Declared(NamedTuple):
    """The flags of a command, before its words are read."""

    by_hand: tuple[HandFlag, ...] = ()
    kind: Any = None
    """The class that tyro makes the words; None where all flags are read by hand."""
    default: Any = None


class _DeclaredError(Exception):
    """Ends a command that was only asked for its flags."""

    def __init__(self, declared: Declared) -> None:
        super().__init__()
        self.declared = declared


_IS_ASKED = contextvars.ContextVar("is_asked", default=False)


def declare(declared: Declared) -> None:
    """Says which flags will be read from the words; does not come back where only that was asked."""
    if _IS_ASKED.get():
        raise _DeclaredError(declared)


def declared_by(verb: str, *words: str) -> Declared:
    """What a command declares, asked for its help behind `words`; nothing where it takes no flags."""
    token = _IS_ASKED.set(True)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            importlib.import_module(f"monoseme.cli.{verb}").main([*words, "--help"])
    except _DeclaredError as found:
        return found.declared
    finally:
        _IS_ASKED.reset(token)
    return Declared()


def short_flags(short: Mapping[str, str]) -> tuple[HandFlag, ...]:
    """Short flags, and what each stands for: `{"--model": "--model.model"}`."""
    return tuple(HandFlag(name, f"Short for {long}{_units(long)}.") for name, long in short.items())


def _units(name: str) -> str:
    return "; 500MB, 2GB" if name.endswith("_bytes") else ""


def names_of(flags: Iterable[HandFlag], *, switches: bool) -> tuple[str, ...]:
    """The flags behind which nothing stands, or those behind which a value does."""
    return tuple(flag.name for flag in flags if flag.is_switch == switches)
