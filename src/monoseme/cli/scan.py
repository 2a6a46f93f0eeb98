"""Find what each latent responds to, in one pass over the text: the atlas.

    monoseme scan RUN                                        every SAE of a run, into its own atlas
    monoseme scan RUN --resume                               goes on, or adds what lacks
    monoseme scan RUN --effects 2                            also what latents do for the next token
    monoseme scan RUN/saes/topk --corpus news.jsonl --out runs/news
    monoseme scan "runs/seed*" --part high --out runs/high --n_tokens 2_000_000
    monoseme scan RUN --sentences best                       also the best sentences of each latent
    torchrun --nproc-per-node 2 -m monoseme scan RUN         two processes share the pass

SAEs are named by runs, RUN/saes/NAME, RUN@STEP or patterns; all are scanned in one pass. A scan that was cut off goes on with
--resume, to the same bits. What is not said is as the run's own config has it.
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import tyro

from monoseme.cli._declared import short_flags
from monoseme.cli._options import CONFIG, apart, expand, folder_of, parse, settings, take_files, wants_help
from monoseme.cli._verbs import document
from monoseme.core.display import get_display
from monoseme.core.errors import ConfigError
from monoseme.core.files import typed
from monoseme.models import ModelConfig
from monoseme.pipeline import RUN_FILE, Materials, RunFolder, ScanRequest, ScanSettings, run_config, scan_run, scan_saes
from monoseme.tensors.processes import everyone
from monoseme.text import CorpusConfig

_SHORT = {"--model": "--model.model", "--corpus": "--corpus.source"}
_LISTS = ("--scan.only.roles", "--corpus.only_roles")
_OUT = Path("runs/atlas")


@dataclasses.dataclass(frozen=True, kw_only=True)
class ScanFlags:
    """What the command line says."""

    sae: tyro.conf.Positional[tuple[str, ...]] = ()
    """Runs, RUN/saes/NAME, RUN@STEP, or patterns."""
    out: Path = _OUT
    """Folder of the atlas. Of runs alone, without --part, --model and --corpus: each its own."""
    part: str | None = None
    """Part of the codes: all, high, low, predicted, novel, or the number of a group. None: all, or novel where there is one."""
    resume: bool = False
    """Go on with an interrupted scan; what is there already is kept."""
    model: ModelConfig = dataclasses.field(default_factory=lambda: ModelConfig(model="run"))
    """The language model; "run": that of the SAEs' run."""
    corpus: CorpusConfig = dataclasses.field(default_factory=lambda: CorpusConfig(source="run"))
    """The text; "run": that of the SAEs' run."""
    settings: Annotated[ScanSettings, tyro.conf.arg(name="")] = dataclasses.field(default_factory=ScanSettings)
    """How much, and what is kept."""


def main(words: list[str]) -> int:
    """Scans what is named."""
    flags = _read(words)
    if not flags.sae:
        raise ConfigError("scan needs an SAE or a run.\n  Type, for example:  monoseme scan runs/demo")
    if _is_run_alone(flags):
        atlases = []
        for word in flags.sae:
            run = RunFolder(Path(word))
            config = run_config(run)
            own = flags.settings if len(flags.sae) == 1 else None
            materials, command = Materials(config, processes=everyone()), f"monoseme scan {typed(word)} --resume"
            scan_run(run, materials=materials, settings=own, resume=flags.resume, command=command)
            atlases.append(run.atlas)
            get_display().say(f"  explain it:  monoseme explain {typed(word)}")
    else:
        request = ScanRequest(
            saes=flags.sae, out=flags.out, part=flags.part, model=flags.model, corpus=flags.corpus, settings=flags.settings
        )
        scan_saes(request, processes=everyone(), resume=flags.resume)
        atlases = [flags.out]
        get_display().say(f"  explain it:  monoseme explain {typed(flags.out)}")
    get_display().result({"atlases": [str(atlas) for atlas in atlases]})
    return 0


def _is_run_alone(flags: ScanFlags) -> bool:
    """Whether runs are to be scanned as they were made, each into its own atlas."""
    default = ScanFlags()
    return (
        all((Path(word) / RUN_FILE).is_file() for word in flags.sae)
        and flags.part is None
        and (flags.out, flags.model, flags.corpus) == (default.out, default.model, default.corpus)
    )


def _read(words: Sequence[str]) -> ScanFlags:
    """The flags, on top of what the first run named was made with."""
    said, rest = take_files(words)
    run = next((RunFolder(Path(word)) for word in rest if (Path(word) / RUN_FILE).is_file()), None)
    default: Any = ScanSettings()
    if run is not None and not wants_help(rest):
        own = run_config(run).atlas
        default = ScanSettings(**{each.name: getattr(own, each.name) for each in dataclasses.fields(ScanSettings)})
    flags = ScanFlags(out=folder_of(rest) or _OUT, settings=settings(default, said, where="config"))
    rest, by_hand = apart(expand(rest, _SHORT), _LISTS), (*short_flags(_SHORT), CONFIG)
    return parse(ScanFlags, rest, verb="scan", summary=document("scan"), default=flags, by_hand=by_hand)
