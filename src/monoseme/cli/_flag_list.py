"""Every flag of every command, read from the code: for the pages of reference and for completion in a shell.

Commands that read typed settings are asked as far as the parser and stopped there; flags that a command reads by hand have their
words here, and a test finds those that are missing.
"""

import contextlib
import dataclasses
import importlib
import io
import warnings
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, NoReturn
from unittest import mock

from monoseme.cli._sae_flags import known
from monoseme.cli._verbs import names
from monoseme.core.errors import MonosemeError
from monoseme.plugin_kinds import KINDS

COMMON = {
    "--help": "Tells the options and ends.",
    "--quiet": "Warnings only.",
    "--json": "One machine-readable result on the output stream.",
    "--kernel": "NAME: what SAEs are computed with: auto, reference, torch, numba, triton.",
}
"""Flags of all commands."""

_CONFIG = {"--config": "FILE (.json, .toml, .yaml) with settings; flags win over it."}
_SAES = {
    "--sae": "Architectures, with commas between them: monoseme ls saes.",
    "--sae.SETTING": "A setting of every architecture named that has it; a list makes a sweep.",
    "--sae.NAME.SETTING": "A setting of one architecture.",
    "--preset": "NAME of a recipe that the other flags change: monoseme ls presets.",
    "--model": "Short for --model.model.",
    "--corpus": "Short for --corpus.source.",
    "--site": "Short for --sites.",
    "--activations": "Short for --stream.activations.",
}
_SHORT = {name: _SAES[name] for name in ("--model", "--corpus")}
_PLUGINS = {
    "--explainer": "NAME of what explains: monoseme ls explainers.",
    "--scorer": "NAME of what scores, or none: monoseme ls scorers.",
    "--judge": "NAME of the language model that is asked, or none: monoseme ls judges.",
}
_METHOD = {
    "--method": "NAME of how to steer: monoseme ls steering.",
    "--error-term": "on or off: whether what the SAE does not explain is kept.",
    "--model": "Short for --model.model.",
}
BY_HAND: dict[str, dict[str, str]] = {
    "demo": _SAES | _CONFIG | {"--no-serve": "Ends after the report."},
    "run": _SAES | _CONFIG,
    "train": _SAES | _CONFIG,
    "plan": {},
    "capture": _SHORT
    | _CONFIG
    | {
        "--site": "Short for --sites.",
        "--dtype": "Short for --storage.dtype.",
        "--shard_bytes": "Short for --storage.shard_bytes; 500MB, 2GB.",
        "--max_bytes": "Short for --storage.max_bytes; 500MB, 2GB.",
    },
    "sentences": {"--corpus": _SHORT["--corpus"]} | _CONFIG,
    "scan": _SHORT | _CONFIG,
    "explain": _PLUGINS | _CONFIG,
    "score": {name: _PLUGINS[name] for name in ("--scorer", "--judge")} | _CONFIG,
    "import": {
        "--out": "New folder of the SAE, or folder or address (s3://...) of the store.",
        "--format": "NAME; recognised if not said: monoseme ls sae_formats, activation_formats, atlas_formats.",
        "--fingerprint": "SAEs: FILE with activations, codes and reconstructions to verify by.",
        "--dtype": "Activations: type of the stored numbers: float32, bfloat16, float16, int8.",
        "--shard_bytes": "Activations: about how much makes a shard (bytes).",
        "--max_bytes": "Activations: the store ends before it would be larger (bytes).",
        "--resume": "Activations: go on with the import in that folder.",
        "--atlas": "Notes about latents: the atlas, or a run that has one.",
        "--sae": "Notes: which SAE of the atlas; not needed where there is one.",
        "--label": "Notes: what the annotation is called (the format's name).",
    }
    | _CONFIG,
    "export": {
        "--format": "NAME: monoseme ls sae_formats, atlas_formats.",
        "--out": "New folder.",
        "--fingerprint": "SAEs: leave a fingerprint beside the weights, by which a reader can verify them (or --no_fingerprint).",
        "--sae": "Atlases: which SAE; not needed where there is one.",
        "--explanations": "Atlases: label of the explanations (the newest).",
        "--scores": "Atlases: label of the scores (the newest of those explanations).",
        "--vectors": "Atlases: with what each latent writes, from the SAEs of the run.",
    }
    | _CONFIG,
    "generate": _METHOD | _CONFIG,
    "chat": _METHOD | _CONFIG,
    "study": _CONFIG,
    "eval": {
        "--overwrite": "Measures again what is measured.",
        "--evaluations": "Other evaluations than the run's own, with commas: monoseme ls evaluations.",
        "--model": "FOLDER or hub id to measure in, instead of the run's own; writes nothing.",
        "--corpus": "FILE, FOLDER or dataset whose held-out documents to measure on; writes nothing.",
        "--context-len": "With --corpus: tokens of a context at most.",
        "--part": "Parts of the codes, with commas: all, high, low, predicted, novel, a group's number; writes nothing.",
    },
    "report": {"--overwrite": "Writes the report again."},
    "serve": {
        "--open": "Opens the browser.",
        "--expose": "Lets other machines connect, with the token that is printed.",
        "--host": "ADDRESS to listen on; this machine only, if not said.",
        "--port": "Port (8321).",
    },
    "search": {
        "--sae": "SAEs of the atlas, with commas.",
        "--n": "Hits of each SAE at most (20).",
        "--label": "Label of the explanations.",
        "--model": "FOLDER of a local sentence model: search by meaning.",
        "--text": "A phrase: places of it, and the latents that fire there.",
        "--roles": "With --text: only what these speakers say, with commas.",
        "--match-case": "With --text: capitals count.",
        "--where": "A statement about columns of the table of latents.",
        "--sort": "With --where: the column to sort by.",
        "--descending": "With --sort: the largest first.",
    },
    "verify": {
        "--sae": "SAEs of an atlas in a folder of its own, with commas.",
        "--model": "The language model, where the run does not name it.",
        "--contexts": "Contexts computed again (256), or all.",
        "--seed": "Of the draw.",
        "--tolerance": "How far a number may be off, as a share of its size (1e-4).",
        "--rounding-share": "Share of the codes that may differ by a tie of rounding.",
    },
}
"""Flags that are read by hand, by command."""

_PLANNED = ("train", "capture")


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


class _Reached(Exception):
    """A parser was reached; what it would have read."""

    def __init__(self, kind: Any, default: Any) -> None:
        """`kind` is the class that the words become."""
        super().__init__()
        self.kind = kind
        self.default = default


def commands() -> list[Command]:
    """All commands in the order of `monoseme --help`; those that take a name before their flags once for each name."""
    return [command for verb in names() if verb != "completion" for command in _commands_of(verb)]


def sae_settings() -> dict[str, tuple[str, ...]]:
    """Architecture -> its dotted settings."""
    return {name: tuple(known(KINDS["saes"].get(name).Config)) for name in KINDS["saes"].names()}


def _commands_of(verb: str) -> Iterator[Command]:
    by_hand = [Flag(name, "", "", text) for name, text in BY_HAND.get(verb, {}).items()]
    if verb in ("study", "bench"):
        for name in _names_before_flags(verb):
            yield Command(f"{verb} {name}", (*by_hand, *_typed(verb, [name])))
        return
    if verb == "plan":
        yield Command("plan", tuple(_typed("plan", ["train", "--plan.no_probe"])))
        return
    kinds = PLUGIN_FLAGS.get(verb, {})
    shared: dict[str, Flag] = {flag.name: flag for flag in by_hand}
    own: list[Command] = []
    if kinds:
        typed = _typed(verb, _PLUGIN_WORDS.get(verb, []))
        shared |= {flag.name: flag for flag in typed if not flag.name.startswith(tuple(f"{other}." for other in kinds))}
    for flag, kind in kinds.items():
        for name in KINDS[kind].names():
            settings = [each._replace(name=f"{flag}.{each.name[2:]}") for each in _settings(KINDS[kind].get(name).Config)]
            own.append(Command(f"{verb} {flag} {name}", tuple(settings)))
    if not kinds:
        shared = {flag.name: flag for flag in _alone(verb)} | shared
    yield Command(verb, tuple(shared.values()))
    yield from own
    yield from _of_formats(verb)


PLUGIN_FLAGS = {
    "explain": {"--explainer": "explainers", "--scorer": "scorers", "--judge": "judges"},
    "score": {"--scorer": "scorers", "--judge": "judges"},
    "generate": {"--method": "steering"},
    "chat": {"--method": "steering"},
}
"""Flags that name a plug-in, whose settings are then flags below it."""
_PLUGIN_WORDS = {"explain": ["--help"], "score": ["--scorer", "detection", "--help"]}
"""What must be said so that the parser of such a command is reached."""
_FORMATS = {
    "import": (("activation_formats", "Config"), ("sae_formats", "Config"), ("atlas_formats", "Config")),
    "export": (("sae_formats", "WriteConfig"), ("atlas_formats", "Config")),
}


def _alone(verb: str) -> list[Flag]:
    """The flags of a command that takes no plug-in, without those of a format."""
    if verb != "export":
        return _typed(verb, ["--help"])
    name = KINDS["atlas_formats"].names()[0]
    config = KINDS["atlas_formats"].get(name).Config
    own = {flag.name for flag in flags_of(config, config())}
    return [flag for flag in _typed(verb, ["--format", name, "--help"]) if flag.name not in own]


def _settings(config: Any) -> list[Flag]:
    """The flags of one plug-in's settings, without their prefix."""
    return flags_of(config, config()) if dataclasses.fields(config) else []


_WORDS = {"activation_formats": "activations", "sae_formats": "SAEs", "atlas_formats": "atlases"}


def _of_formats(verb: str) -> Iterator[Command]:
    """The settings of each format, which are flags without a prefix."""
    for kind, config in _FORMATS.get(verb, ()):
        for name in KINDS[kind].names():
            flags = _settings(getattr(KINDS[kind].get(name), config))
            yield Command(f"{verb} --format {name} ({_WORDS[kind]})", tuple(flags))


def _names_before_flags(verb: str) -> list[str]:
    if verb == "study":
        return KINDS["studies"].names()
    return list(importlib.import_module("monoseme.benchmarks").BENCHMARKS)


def _typed(verb: str, words: Sequence[str]) -> list[Flag]:
    """The flags of the parser that the words of a command lead to; none where it has none."""
    module = importlib.import_module(f"monoseme.cli.{verb}")
    tyro = importlib.import_module("tyro")

    def reach(kind: Any, *, default: Any, **_: object) -> NoReturn:
        raise _Reached(kind, default)

    with mock.patch.object(tyro, "cli", reach), contextlib.redirect_stdout(io.StringIO()):
        try:
            module.main(list(words))
        except _Reached as reached:
            return flags_of(reached.kind, reached.default)
        except MonosemeError:
            return []
    return []


def flags_of(kind: Any, default: Any) -> list[Flag]:
    """The flags of a class of settings, as tyro makes them."""
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
    text, _, default = " ".join((action.help or "").split()).rpartition(" (default: ")
    if not text:
        text, default = default.removeprefix("(default: ") if not default.startswith("(default: ") else "", ""
    name = next(word for word in action.option_strings if word.startswith("--"))
    negative = next((word for word in action.option_strings if word.rpartition(".")[2].lstrip("-").startswith("no_")), "")
    return Flag(name, action.metavar or "", default.removesuffix(")"), text, tuple(action.choices or ()), negative)
