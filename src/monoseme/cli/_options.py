"""Options from types: a frozen config becomes flags, with its docstrings as help.

Precedence: default < `--config FILE` < flag. Short forms such as `--model gpt2` stand for the field that users mean most
(`--model.model gpt2`).
"""

import itertools
import sys
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from monoseme.cli._declared import Declared, HandFlag, declare
from monoseme.core.config import from_dict, load_file, merge, to_dict
from monoseme.core.errors import ConfigError

C = TypeVar("C")
CONFIG = HandFlag("--config", "FILE (.json, .toml, .yaml) with settings; flags win over it.")


def parse(
    cls: type[C],
    words: Sequence[str],
    *,
    verb: str,
    summary: str,
    default: C | None = None,
    by_hand: Sequence[HandFlag] = (),
) -> C:
    """A `cls` from command-line words, on top of `default`; `by_hand` are the flags that are read from the words before.

    Wrong words end the program with exit code 2 and tyro's message, which suggests what was meant.
    """
    declare(Declared(tuple(by_hand), cls, default))
    import tyro

    start: Any = tyro.MISSING_NONPROP if default is None else default
    return tyro.cli(
        cls,
        prog=f"monoseme {verb}",
        description=summary,
        args=list(words),
        default=start,
        use_underscores=True,
    )


def take_files(words: Sequence[str]) -> tuple[dict[str, Any], list[str]]:
    """What the tables of every `--config FILE` say, later files on top, and the words without them.

    Raises ConfigError for a file that cannot be read.
    """
    said: dict[str, Any] = {}
    rest: list[str] = []
    queue = list(words)
    while queue:
        word = queue.pop(0)
        flag, equals, value = word.partition("=")
        if flag != CONFIG.name:
            rest.append(word)
            continue
        value = value if equals else (queue.pop(0) if queue else "")
        if not value:
            raise ConfigError(f"{CONFIG.name} needs a file (.json, .toml, .yaml)")
        said = merge(said, load_file(Path(value)))
    return said, rest


def settings(default: Any, said: Mapping[str, Any], *, where: str) -> Any:
    """The config `default` with the plain settings `said` on top, all of it validated again."""
    return from_dict(type(default), merge(to_dict(default), said), where=where)


def expand(words: Sequence[str], short: Mapping[str, str]) -> list[str]:
    """Words with short flags written out: `{"--model": "--model.model"}`."""
    out: list[str] = []
    for word in words:
        flag, equals, value = word.partition("=")
        out.append(short.get(flag, flag) + equals + value)
    return out


def wants_help(words: Sequence[str]) -> bool:
    """Whether `-h` or `--help` is among the words."""
    return "-h" in words or "--help" in words


def write(text: str) -> None:
    """Text for the output stream: a command's own answer, not chatter."""
    sys.stdout.write(text if text.endswith("\n") else text + "\n")


def apart(words: Sequence[str], lists: Collection[str]) -> list[str]:
    """The words with lists behind the flags `lists` taken apart at commas: users write these, tyro wants a word for each."""
    out: list[str] = []
    in_list = False
    for word in words:
        flag, equals, value = word.partition("=")
        if flag.startswith("--"):
            in_list = f"--{flag[2:].replace('-', '_')}" in lists
            out += [flag, *value.split(",")] if in_list and equals else [word]
        else:
            out += word.split(",") if in_list else [word]
    return out


def folder_of(words: Sequence[str]) -> Path | None:
    """What `--out FOLDER` or `--out=FOLDER` says, before anything else is read."""
    for word, following in itertools.zip_longest(words, words[1:]):
        flag, equals, value = word.partition("=")
        if flag == "--out" and (value if equals else following):
            return Path(value if equals else following)
    return None
