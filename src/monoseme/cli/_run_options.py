"""The options of `train` and `run`: a whole run config from a preset, files and flags."""

import contextlib
import itertools
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import tyro

from monoseme.cli._declared import HandFlag, short_flags
from monoseme.cli._options import CONFIG, apart, expand, folder_of, parse, settings, take_files, wants_help, write
from monoseme.cli._sae_flags import SAE_FLAGS, Listed, build, help_text, take
from monoseme.core.config import to_dict
from monoseme.core.errors import ConfigError
from monoseme.pipeline import RUN_FILE, RunConfig, RunFolder, RunSettings, from_stores, run_config
from monoseme.presets import PRESETS, own_saes, preset
from monoseme.saes import SAES, config_from_dict

if TYPE_CHECKING:
    from monoseme.saes import SAE

SHORT = {
    "--model": "--model.model",
    "--corpus": "--corpus.source",
    "--site": "--sites",
    "--activations": "--stream.activations",
}
"""Short flags for the settings that users mean most."""
_LISTS = ("--evaluations", "--start_from", "--train.trackers", "--stream.activations", "--stream.weights")
"""Flags whose words may be written with commas between them."""
_STORES = "--stream.activations"
_AT_THE_END = "Settings of --sae, its names and those of --preset are at the end; of an architecture: --sae NAME --help."
_PRESET = HandFlag("--preset", "NAME of a recipe that the other flags change: monoseme ls presets.")


@dataclass(frozen=True, kw_only=True)
class RunFlags:
    """What the command line says besides the SAEs."""

    out: Path = Path("runs/run")
    """Folder of the run."""
    resume: bool = False
    """Go on with the run in that folder, to the same bits as without the interruption."""
    settings: Annotated[RunSettings, tyro.conf.arg(name="")] = field(default_factory=RunSettings)
    """Everything else."""


class RunCommand(NamedTuple):
    """A command to make or resume a run."""

    config: RunConfig
    out: Path
    resume: bool


def parse_run(
    words: Sequence[str], *, verb: str, summary: str, default: RunConfig, out: Path, by_hand: Sequence[HandFlag] = ()
) -> RunCommand:
    """The run that the words describe: default or preset, then `--config` files, then flags; `by_hand`: flags read before.

    Raises ConfigError, UnknownPluginError. `--help` prints the options and ends the program.
    """
    chosen, rest = _take_preset(words, default)
    said, rest = take_files(rest)
    flags, rest = take(rest)
    base = settings(chosen.settings, {k: v for k, v in said.items() if k != "saes"}, where="config")
    names = (flags.names or tuple(sae.plugin_name for sae in chosen.saes)) if wants_help(rest) else None
    with _sae_help_after(names):
        found = parse(
            RunFlags,
            apart(expand(rest, SHORT), _LISTS),
            verb=verb,
            summary=summary if names is None else f"{summary.rstrip()}\n\n{_AT_THE_END}",
            default=RunFlags(out=out, settings=base),
            by_hand=(*SAE_FLAGS, _PRESET, *short_flags(SHORT), CONFIG, *by_hand),
        )
    saes = chosen.saes if chosen is default or flags.names else own_saes(chosen, found.settings)
    return RunCommand(RunConfig.of(found.settings, build(flags, _listed(flags.names, saes, said))), found.out, found.resume)


def known_config(words: Sequence[str], out: Path) -> RunConfig:
    """The config in the run's folder when that run is resumed, so that nothing needs to be typed again; else the default.

    A new run that learns from stores has their model and text as its defaults. Raises what opening a store raises.
    """
    if wants_help(words):
        return RunConfig()
    folder = folder_of(words) or out
    if "--resume" in words and (folder / RUN_FILE).is_file():
        return run_config(RunFolder(folder))
    return RunConfig.of(_defaults(RunSettings(), _stores(words)), ())


def _stores(words: Sequence[str]) -> tuple[str, ...]:
    """The stores that flags name, else `--config` files."""
    said, rest = take_files(words)
    flat = apart(expand(rest, SHORT), _LISTS)
    if _STORES in flat:
        return tuple(itertools.takewhile(lambda word: not word.startswith("--"), flat[flat.index(_STORES) + 1 :]))
    found = said.get("stream", {}).get("activations", ())
    return tuple(found) if isinstance(found, list | tuple) else ()


def _defaults(chosen: RunSettings, stores: Sequence[str]) -> RunSettings:
    return from_stores(chosen, stores) if stores else chosen


def _take_preset(words: Sequence[str], default: RunConfig) -> tuple[RunConfig, list[str]]:
    rest = list(words)
    for i, word in enumerate(rest):
        name, equals, value = word.partition("=")
        if name == _PRESET.name:
            if not equals and i + 1 == len(rest):
                raise ConfigError(f"{_PRESET.name} needs a name.\n  Allowed: {', '.join(PRESETS.names())}")
            found = preset(value if equals else rest[i + 1])
            settled = RunConfig.of(_defaults(found.settings, default.stream.activations), found.saes)
            return settled, rest[:i] + rest[i + (1 if equals else 2) :]
    return default, rest


def _listed(names: tuple[str, ...], configs: "Sequence[SAE.Config]", said: dict[str, Any]) -> list[Listed]:
    """The architectures, each with the settings that a preset (`configs`) or a file gives it."""
    if "saes" in said:
        if not isinstance(said["saes"], list):
            raise ConfigError("config.saes must be a list of tables, each with its architecture")
        configs = tuple(config_from_dict(sae, where=f"config.saes[{i}]") for i, sae in enumerate(said["saes"]))
    given = [Listed(config.plugin_name, type(config), to_dict(config)) for config in configs]
    if not names:
        return given
    out: list[Listed] = []
    for name in names:
        same = [entry for entry in given if entry.name == name]
        out += same or [Listed(name, SAES.get(name).Config)]
    return out


@contextlib.contextmanager
def _sae_help_after(names: tuple[str, ...] | None) -> Iterator[None]:
    """Help, which ends the program, goes on with the settings of these architectures; None: no help is asked for."""
    try:
        yield
    except SystemExit:
        if names is not None:
            _print_sae_help(names)
        raise


def _print_sae_help(names: tuple[str, ...]) -> None:
    write("")
    write(help_text({name: SAES.get(name).Config for name in names or ("topk",)}))
    write(
        "\nA list with commas is a sweep (--sae.k 16,32); --sae.NAME.k is for one architecture; a preset may set other defaults."
    )
    write("Short forms: --model for --model.model, --corpus for --corpus.source, --site for --sites,")
    write("--activations for --stream.activations")
    write(f"--sae takes one or more of: {', '.join(SAES.names())}")
    write(f"--preset takes one of: {', '.join(PRESETS.names())}; --config takes a .json, .toml or .yaml file\n")
    sys.stdout.flush()
