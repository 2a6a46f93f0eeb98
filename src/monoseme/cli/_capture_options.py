"""The options of `capture`: a whole config from the store that is resumed, files and flags."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, NamedTuple

import tyro

from monoseme.cli._declared import short_flags
from monoseme.cli._options import CONFIG, apart, expand, parse, settings, take_files, wants_help
from monoseme.core.errors import ConfigError
from monoseme.pipeline import CaptureConfig, captured_config

SHORT = {
    "--model": "--model.model",
    "--corpus": "--corpus.source",
    "--site": "--sites",
    "--dtype": "--storage.dtype",
    "--shard_bytes": "--storage.shard_bytes",
    "--max_bytes": "--storage.max_bytes",
}
"""Short flags for the settings that users mean most."""
_UNITS = {"KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}


@dataclass(frozen=True, kw_only=True)
class CaptureFlags:
    """What the command line says."""

    out: str = "activations"
    """Folder or address (s3://bucket/name) of the store."""
    resume: bool = False
    """Go on with the capture that was begun there; its settings need not be typed again."""
    settings: Annotated[CaptureConfig, tyro.conf.arg(name="")] = field(default_factory=CaptureConfig)
    """Everything else."""


class CaptureCommand(NamedTuple):
    """A capture to begin or resume."""

    config: CaptureConfig
    out: str
    resume: bool


def parse_capture(words: Sequence[str], *, verb: str, summary: str) -> CaptureCommand:
    """The capture that the words describe: the defaults, or with `--resume` the settings it began with; then files, then flags.

    Raises ConfigError. `--help` prints the options and ends the program.
    """
    said, rest = take_files(words)
    rest = _in_bytes(apart(expand(rest, SHORT), ["--sites"]))
    base = settings(_known(rest), said, where="config")
    default = CaptureFlags(settings=base)
    by_hand = (*short_flags(SHORT), CONFIG)
    found = parse(CaptureFlags, rest, verb=verb, summary=summary, default=default, by_hand=by_hand)
    return CaptureCommand(found.settings, found.out, found.resume)


def _known(words: Sequence[str]) -> CaptureConfig:
    """The config of the capture that is resumed; else the default."""
    if "--resume" not in words or wants_help(words):
        return CaptureConfig()
    return captured_config(_out(words)) or CaptureConfig()


def _out(words: Sequence[str]) -> str:
    """What `--out` says, before anything else is read; an address stays as it is typed."""
    for word, following in itertools.zip_longest(words, words[1:]):
        flag, equals, value = word.partition("=")
        if flag == "--out" and (value if equals else following):
            return value if equals else str(following)
    return CaptureFlags().out


def _in_bytes(words: Sequence[str]) -> list[str]:
    """Sizes written with a unit (200GB) in bytes. Raises ConfigError for what is not a size."""
    out: list[str] = []
    for before, word in zip(["", *words], words, strict=False):
        flag, equals, value = word.partition("=")
        if flag.endswith("_bytes") and equals:
            out.append(f"{flag}={_n_bytes(flag, value)}")
        elif before.startswith("--") and before.endswith("_bytes"):
            out.append(_n_bytes(before, word))
        else:
            out.append(word)
    return out


def _n_bytes(flag: str, text: str) -> str:
    unit = _UNITS.get(text[-2:].upper())
    if unit is None:
        return text
    try:
        return str(round(float(text[:-2]) * unit))
    except ValueError as error:
        raise ConfigError(f"{flag} is {text!r}; write a size such as 500MB, 1.5GB or 2TB") from error
