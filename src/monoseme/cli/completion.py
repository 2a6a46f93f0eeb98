"""Print a script with which a shell completes commands, flags, names of plug-ins and paths.

    monoseme completion bash >> ~/.bash_completion
    monoseme completion zsh > ~/.zfunc/_monoseme          with  fpath+=~/.zfunc  before compinit in ~/.zshrc
    monoseme completion fish > ~/.config/fish/completions/monoseme.fish

The script holds all that it completes, so that no key waits for Python: print it again after an upgrade, or when other packages
brought plug-ins.
"""

import json
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from monoseme.cli._declared import COMMON
from monoseme.cli._options import wants_help, write
from monoseme.cli._verbs import document, names
from monoseme.core.config import suggest
from monoseme.core.errors import ConfigError
from monoseme.plugin_kinds import KINDS

_DATA = Path(__file__).parent / "_completion.json"
_KERNELS = ("auto", "reference", "torch", "numba", "triton")
_TRAINS = ("demo", "run", "train")
_OF_KINDS: dict[tuple[str, str], tuple[str, ...]] = {
    **{(verb, "--sae"): ("saes",) for verb in (*_TRAINS, "study architectures")},
    **{(verb, "--preset"): ("presets",) for verb in _TRAINS},
    **{(verb, "--evaluations"): ("evaluations",) for verb in (*_TRAINS, "eval")},
    **{(verb, "--train.trackers"): ("trackers",) for verb in _TRAINS},
    ("explain", "--explainer"): ("explainers",),
    **{(verb, "--scorer"): ("scorers",) for verb in ("explain", "score")},
    **{(verb, "--judge"): ("judges",) for verb in ("explain", "score")},
    **{(verb, "--method"): ("steering",) for verb in ("generate", "chat")},
    ("import", "--format"): ("sae_formats", "activation_formats", "atlas_formats"),
    ("export", "--format"): ("sae_formats", "atlas_formats"),
}
"""Flags that take the name of a plug-in: the kinds it may be of."""
_PLANNED = ("capture", "train")


def main(words: list[str]) -> int:
    """Prints the script of one shell."""
    if not words or wants_help(words):
        write(document("completion"))
        return 0
    if words[0] not in SCRIPTS or len(words) > 1:
        shell = " ".join(words)
        raise ConfigError(f'there is no completion for "{shell}".{suggest(shell, SCRIPTS)}\n  Allowed: {", ".join(SCRIPTS)}')
    write(script(words[0]))
    return 0


def script(shell: str) -> str:
    """What the shell reads."""
    template, cases = _DATA.with_suffix(f".{shell}").read_text(encoding="utf-8"), SCRIPTS[shell]
    flags = _flags()
    first = {"": list(names()), **_first()}
    return (
        template.replace("@FLAGS@", cases("_monoseme_flags", {key: [*found, *COMMON] for key, found in flags.items()}))
        .replace("@FIRST@", cases("_monoseme_first", first))
        .replace("@VALUES@", cases("_monoseme_values", _values(flags)))
    )


def _flags() -> dict[str, dict[str, list[str]]]:
    """Command -> flag -> the words that may follow; commands without flags too."""
    found: dict[str, dict[str, list[str]]] = {verb: {} for verb in names()}
    found |= json.loads(_DATA.read_text(encoding="utf-8"))
    for verb in _PLANNED:
        found[f"plan {verb}"] = found["plan"] | found[verb]
    return found


def _first() -> dict[str, list[str]]:
    """Command -> words that may stand right behind it."""
    benches = [key.partition(" ")[2] for key in _flags() if key.startswith("bench ")]
    return {
        "ls": list(KINDS),
        "study": KINDS["studies"].names(),
        "bench": benches,
        "plan": list(_PLANNED),
        "completion": list(SCRIPTS),
    }


def _values(flags: Mapping[str, Mapping[str, Sequence[str]]]) -> dict[str, list[str]]:
    """Command and flag -> words that may follow it."""
    found = {f"{key} {flag}": list(choices) for key, own in flags.items() for flag, choices in own.items() if choices}
    found |= {f"{key} --kernel": list(_KERNELS) for key in flags}
    for (key, flag), kinds in _OF_KINDS.items():
        words = sorted({name for kind in kinds for name in KINDS[kind].names()})
        found[f"{key} {flag}"] = words
        if key in _PLANNED:
            found[f"plan {key} {flag}"] = words
    return found


def _grouped(table: Mapping[str, Sequence[str]]) -> Iterator[tuple[list[str], Sequence[str]]]:
    """Keys with the same words, together: scripts stay short."""
    groups: dict[tuple[str, ...], list[str]] = {}
    for key, words in table.items():
        groups.setdefault(tuple(words), []).append(key)
    yield from ((keys, words) for words, keys in groups.items())


def _posix(name: str, table: Mapping[str, Sequence[str]]) -> str:
    """A function of bash and zsh that prints the words of a key, a line each."""
    lines = [
        f"    {'|'.join(map(shlex.quote, keys))}) printf '%s\\n' {' '.join(map(shlex.quote, words))};;"
        for keys, words in _grouped(table)
        if words
    ]
    return "\n".join([f"{name}() {{", '  case "$1" in', *lines, "  esac", "}"])


def _fish(name: str, table: Mapping[str, Sequence[str]]) -> str:
    """The same in fish."""
    lines = [
        f"    case {' '.join(_quoted(key) for key in keys)}\n      printf '%s\\n' {' '.join(_quoted(word) for word in words)}"
        for keys, words in _grouped(table)
        if words
    ]
    return "\n".join([f"function {name}", '  switch "$argv[1]"', *lines, "  end", "end"])


def _quoted(word: str) -> str:
    return "'" + word.replace("\\", "\\\\").replace("'", "\\'") + "'"


SCRIPTS: dict[str, Callable[[str, Mapping[str, Sequence[str]]], str]] = {"bash": _posix, "zsh": _posix, "fish": _fish}
"""Shell -> how a table is written in it; its script, with gaps for the tables, is `_completion.SHELL` beside this file."""
