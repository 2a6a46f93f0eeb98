"""Ask a question about SAEs and get a report: tables, figures, findings with their numbers.

    monoseme study                              the studies, a line each
    monoseme study temporal --help              the settings of one
    monoseme study temporal --sae runs/demo --part all,high,low
    monoseme study sequences --sae runs/demo/saes/topk --out runs/sequences
    monoseme study predictability --sae "runs/seed*" --part predicted,novel
    monoseme study probing --sae runs/demo --corpus news.csv --label class --tags en.conllu
    monoseme study maps --sae runs/demo --corpus news.csv --label class
    monoseme study alignment --sae runs/demo --corpus pairs.jsonl.gz --fields chosen,rejected
    monoseme study layers --sae runs/mine/saes/mlsae
    monoseme study residual --model bundled
    monoseme study dictionaries --sae runs/a/saes/topk,runs/b/saes/topk
    monoseme study spelling --model google/gemma-2-2b
    monoseme study absorption --sae "runs/widths/saes/*"
    monoseme study attribution --sae runs/three_layers --prompt "Once upon a"
    monoseme study tpp --sae runs/demo --corpus news.csv --label class
    monoseme study steering --sae runs/demo/saes/topk
    monoseme study card --sae runs/demo
    monoseme study synthetic
    monoseme study architectures --sae topk,batchtopk --l0 16,32
    monoseme study architectures --out runs/architectures --resume

SAEs are named by runs, RUN/saes/NAME, RUN@STEP or patterns, with commas between them; --part compares parts of their codes. The
report lies in OUT/report: index.html to look at, tables and figures beside it. An interrupted study goes on with --resume, which
measures nothing twice; --force begins it anew.
"""

import dataclasses
import shlex
import typing
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import tyro

from monoseme.cli._options import CONFIG, apart, expand, folder_of, parse, settings, take_files, wants_help, write
from monoseme.cli._verbs import document
from monoseme.core.config import from_dict
from monoseme.core.display import get_display
from monoseme.core.errors import ConfigError
from monoseme.core.files import typed
from monoseme.studies import STUDIES, Study, read_record, run_study


def main(words: list[str]) -> int:
    """Runs a study, or lists what there is."""
    if not words or words[0].startswith("-"):
        if words and not wants_help(words):
            raise ConfigError(f"study needs a name before its flags.\n  Allowed: {', '.join(STUDIES.names())}")
        write(f"{document('study')}\n\nStudies:\n" + "\n".join(f"  {i.name:<16} {i.summary}" for i in STUDIES.infos()))
        return 0
    name, rest = words[0], words[1:]
    flags = _read(name, STUDIES.get(name), rest)
    command = shlex.join(["monoseme", "study", name, *(word for word in rest if word not in ("--resume", "--force"))])
    report = run_study(STUDIES.get(name)(flags.settings), flags.out, command=command, resume=flags.resume, force=flags.force)
    get_display().say(f"  open:  {report / 'index.html'}")
    get_display().say(f"  read it here:  monoseme show {typed(report)}")
    get_display().result({"study": name, "out": str(flags.out), "report": str(report)})
    return 0


def _read(name: str, study: type[Study], words: Sequence[str]) -> Any:
    """The flags: the study's own settings, the folder, and whether to go on. Raises ConfigError, ArtifactMissingError."""
    said, rest = take_files(words)
    kind = _flags(name, study.Config)
    default = kind()
    out = folder_of(rest) or default.out
    if "--resume" in rest and not wants_help(rest) and (out / "study.json").is_file():
        kept = from_dict(study.Config, read_record(out).config, where=str(out))  # nothing needs to be typed again
        default = dataclasses.replace(default, settings=kept)
    default = dataclasses.replace(default, settings=settings(default.settings, said, where="config"))
    summary = next(info.summary for info in STUDIES.infos() if info.name == name)
    listed = apart(expand(rest, study.short_flags), set(_lists(study.Config)))
    summary = f"{summary}\n\n{_hints(study)}"
    return parse(kind, listed, verb=f"study {name}", summary=summary, default=default, by_hand=[CONFIG])


def _lists(config: type, prefix: str = "--") -> Iterator[str]:
    """The flags that take a list, those of nested settings too."""
    for name, hint in typing.get_type_hints(config).items():
        kinds = [kind for kind in (hint, *typing.get_args(hint)) if typing.get_origin(kind) is tuple]
        if kinds:
            yield prefix + name
        for nested in (kind for kind in (hint, *typing.get_args(hint)) if dataclasses.is_dataclass(kind)):
            yield from _lists(typing.cast(type, nested), f"{prefix}{name}.")


def _hints(study: type[Study]) -> str:
    """How to write lists, short flags, and settings in a file."""
    short = "".join(f", {flag} for {long}" for flag, long in study.short_flags.items())
    return f"Lists are written with commas: --sae A,B. Short forms: --config FILE for settings in a file{short}."


def _flags(name: str, config: type) -> Any:
    """A dataclass of the study's flags; its nested settings are flags without a prefix."""
    out = Annotated[Path, tyro.conf.arg(help="Folder of the study.")]
    resume = Annotated[bool, tyro.conf.arg(help="Go on with the study in that folder.")]
    force = Annotated[bool, tyro.conf.arg(help="Delete the study in that folder and measure all again.")]
    own = Annotated[config, tyro.conf.arg(name="")]
    fields: list[Any] = [
        ("out", out, dataclasses.field(default=Path("runs") / name)),
        ("resume", resume, dataclasses.field(default=False)),
        ("force", force, dataclasses.field(default=False)),
        ("settings", own, dataclasses.field(default_factory=config)),
    ]
    return dataclasses.make_dataclass("StudyFlags", fields, frozen=True, kw_only=True)
