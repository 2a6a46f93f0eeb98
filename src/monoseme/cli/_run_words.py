"""The words of commands that work on runs that are there: paths, and a few flags."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from monoseme.cli._declared import Declared, HandFlag, declare, names_of
from monoseme.cli._options import wants_help, write
from monoseme.cli._verbs import document
from monoseme.core.config import suggest
from monoseme.core.errors import ConfigError


class RunWords(NamedTuple):
    """Paths, switches that were given, and the values of options."""

    paths: tuple[str, ...]
    switches: frozenset[str]
    options: dict[str, str]

    def number(self, flag: str) -> int | None:
        """The whole number given with a flag, None without it. Raises ConfigError for anything else."""
        text = self.options.get(flag)
        if text is None:
            return None
        if not text.isdigit():
            raise ConfigError(f"{flag} must be a whole number, not {text!r}")
        return int(text)

    def path(self, flag: str) -> Path | None:
        """The path given with a flag. Raises ConfigError for an empty one, which would be the folder one is in."""
        text = self.options.get(flag)
        if text is not None and not text.strip():
            raise ConfigError(f"{flag} needs a path")
        return None if text is None else Path(text)


def read_words(words: Sequence[str], *, verb: str, flags: Sequence[HandFlag] = (), fewest: int = 1) -> RunWords | None:
    """The words of a verb that has these flags, or None after `--help` was answered.

    Raises ConfigError for an unknown flag (with a suggestion), a flag without its value, or too few paths.
    """
    declare(Declared(tuple(flags)))
    if wants_help(words):
        write(document(verb))
        return None
    switches, options = names_of(flags, switches=True), names_of(flags, switches=False)
    paths: list[str] = []
    on: set[str] = set()
    values: dict[str, str] = {}
    queue = list(words)
    while queue:
        word = queue.pop(0)
        flag, equals, value = word.partition("=")
        flag = flag if not flag.startswith("--") else flag.replace("_", "-")
        if not word.startswith("-"):
            paths.append(word)
        elif flag in switches and not equals:
            on.add(flag)
        elif flag in options:
            if not equals and not queue:
                raise ConfigError(f"{flag} needs a value")
            values[flag] = value if equals else queue.pop(0)
        else:
            allowed = [*switches, *options]
            raise ConfigError(f"{verb} has no option {word}.{suggest(word, allowed)}\n  See:  monoseme {verb} --help")
    if len(paths) < fewest:
        raise ConfigError(f"{verb} needs a path.\n  Type, for example:  monoseme {verb} runs/demo")
    return RunWords(tuple(paths), frozenset(on), values)
