"""Time training steps, capture and whole runs on this machine, against a dense reference, the floor, and other libraries.

    monoseme bench train                                    TopK at two sizes; --json gives every number
    monoseme bench train --architectures topk,relu,tsae     the others: batchtopk, jumprelu, matryoshka, mlsae
    monoseme bench train --dead 0.3 --clip --sweep 8        what dead latents, clipping and many SAEs cost
    monoseme bench train --threads 2 --out results.json     keeps the numbers
    monoseme bench capture                                  the language model alone
    monoseme bench e2e --peers                              whole runs beside other libraries
    monoseme bench store --models bundled models/gpt2       capturing and reading stored activations
    monoseme bench train --help                             all settings

Run it on a machine that does nothing else; ratios hold within one run only.
"""

import dataclasses
import os
import shlex
import typing
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import tyro

from monoseme.benchmarks import BENCHMARKS, Benchmark
from monoseme.cli._options import apart, parse, wants_help, write
from monoseme.cli._verbs import document
from monoseme.core.config import suggest
from monoseme.core.display import get_display
from monoseme.core.errors import ConfigError
from monoseme.core.files import write_json


class _Said(NamedTuple):
    settings: Any
    out: Path | None


def main(words: list[str]) -> int:
    """Runs one benchmark, or lists them."""
    if not words or words[0].startswith("-"):
        if words and not wants_help(words):
            raise ConfigError(f"bench needs a name before its flags.\n  Allowed: {', '.join(BENCHMARKS)}")
        listed = "\n".join(f"  {name:<8} {benchmark.summary}" for name, benchmark in BENCHMARKS.items())
        write(f"{document('bench')}\n\nBenchmarks:\n{listed}")
        return 0
    name = words[0]
    if name not in BENCHMARKS:
        raise ConfigError(f'there is no benchmark "{name}".{suggest(name, BENCHMARKS)}\n  Allowed: {", ".join(BENCHMARKS)}')
    benchmark = BENCHMARKS[name]
    said = _read(name, benchmark, words[1:])
    if said.out is not None:
        _require_place(said.out)
    found = {"command": shlex.join(["monoseme", "bench", *words]), **benchmark.run(said.settings)}
    if said.out is not None:
        write_json(said.out, found)
    for line in benchmark.table(found).splitlines():
        get_display().say(line)
    get_display().result(found)
    return 0


def _require_place(out: Path) -> None:
    """Raises ConfigError for a file that could not be written, before the time is spent."""
    if out.is_dir():
        raise ConfigError(f"--out {out} is a folder.\n  Name a file in it:  --out {out / 'bench.json'}")
    nearest = next(folder for folder in out.absolute().parents if folder.exists())
    if not nearest.is_dir() or not os.access(nearest, os.W_OK):
        raise ConfigError(f"--out {out} cannot be written: {nearest} is no folder that you may write to")


def _read(name: str, benchmark: Benchmark, words: list[str]) -> _Said:
    """The flags: the benchmark's own settings, and where to keep the numbers."""
    config = benchmark.config
    out = Annotated[Path | None, tyro.conf.arg(help="File for the numbers (JSON). None: they are shown only.")]
    own = Annotated[config, tyro.conf.arg(name="")]
    entries: list[Any] = [
        ("out", out, dataclasses.field(default=None)),
        ("settings", own, dataclasses.field(default_factory=config)),
    ]
    kind = dataclasses.make_dataclass("BenchFlags", entries, frozen=True, kw_only=True)
    lists = [f"--{field}" for field, hint in typing.get_type_hints(config).items() if "tuple" in str(hint)]
    flags: Any = parse(kind, apart(words, lists), verb=f"bench {name}", summary=benchmark.summary, default=kind())
    return _Said(flags.settings, flags.out)
