"""The scan stage: one pass over a text for all SAEs, then what follows from it, how latents go together and what they do."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from monoseme.atlas import PassOptions, Target, names_of, open_atlas, scan
from monoseme.atlas.effects import EffectsConfig, effects_folder, measure_effects
from monoseme.atlas.relations import relate_latents, relations_folder, what_latents_write
from monoseme.core.display import get_display
from monoseme.core.errors import Interrupted
from monoseme.core.files import typed
from monoseme.models import ModelConfig
from monoseme.pipeline._config import AtlasConfig, RunConfig
from monoseme.pipeline._evaluate import run_config
from monoseme.pipeline._folder import RunFolder
from monoseme.pipeline._found import OF_RUN, find_saes, settings_for
from monoseme.pipeline._materials import Materials
from monoseme.pipeline._parted import WHOLE, parted
from monoseme.pipeline._saes import NamedSae, open_saes
from monoseme.pipeline._scan_config import ScanSettings
from monoseme.tensors.processes import ALONE, Group
from monoseme.text import CorpusConfig


@dataclasses.dataclass(frozen=True, kw_only=True)
class ScanRequest:
    """Which SAEs to scan, over what, where to."""

    saes: tuple[str, ...]
    """Runs, RUN/saes/NAME, checkpoints RUN@STEP, and patterns of these."""
    out: Path
    """Folder of the atlas."""
    part: str | None = None
    """The part of their codes; None: all of it, or the novel part where there is one."""
    model: ModelConfig = dataclasses.field(default_factory=lambda: ModelConfig(model=OF_RUN))
    """The language model, or that of the SAEs' run."""
    corpus: CorpusConfig = dataclasses.field(default_factory=lambda: CorpusConfig(source=OF_RUN))
    """The text, or that of the SAEs' run."""
    settings: ScanSettings = dataclasses.field(default_factory=ScanSettings)


def scan_run(
    run: RunFolder,
    *,
    materials: Materials | None = None,
    settings: ScanSettings | None = None,
    resume: bool = False,
    command: str | None = None,
) -> None:
    """Writes the atlas of every SAE of the run. Raises ArtifactExistsError for one scanned before; `resume` keeps it instead.

    `settings` None: those of the run's config. `command` is what goes on with an interrupted scan; None: the whole run.
    """
    materials = materials or Materials(run_config(run))
    if settings is not None:
        materials.config = _with_settings(materials.config, settings)
    targets = [_target(sae) for sae in open_saes(str(run.path), device=materials.sae_device)]
    command = command or f"monoseme run --out {typed(run.path)} --resume"
    _make_atlas(materials, targets, run.atlas, resume=resume, command=command)
    if materials.processes.rank == 0:
        run.add({"atlas": "atlas"})


def scan_saes(request: ScanRequest, *, processes: Group = ALONE, resume: bool = False) -> None:
    """Writes an atlas of any SAEs of one model, over the text of their run or another.

    Raises what `find_saes` and `parted` raise, ConfigError for SAEs of different models, and what `scan` raises.
    """
    found = find_saes(request.saes)
    settings = settings_for(found, model=request.model, corpus=request.corpus)
    sites = list(dict.fromkeys(site for sae in found for site in sae.named.sites))
    materials = Materials(_with_settings(settings, request.settings), processes=processes, sites=sites)
    saes = [materials.take(sae.named) for sae in found]
    words = " ".join(map(typed, request.saes))
    command = f"the same command with --resume:  monoseme scan {words} --out {typed(request.out)} ... --resume"
    _make_atlas(materials, _targets(saes, request.part), request.out, resume=resume, command=command)


def _with_settings(config: RunConfig, settings: ScanSettings) -> RunConfig:
    own: dict[str, Any] = {each.name: getattr(settings, each.name) for each in dataclasses.fields(ScanSettings)}
    return dataclasses.replace(config, atlas=AtlasConfig(explain=config.atlas.explain, **own))


def _targets(saes: Sequence[NamedSae], part: str | None) -> list[Target]:
    if part is None:
        return [_target(sae) for sae in saes]
    each = [(one.named, None if one.word == WHOLE else one.part) for one in parted(saes, (part,))]
    return [Target(named.name, named.sae, named.sites, part=own, sae_hash=named.content_hash) for named, own in each]


def _target(named: NamedSae) -> Target:
    """The SAE's whole code, or the novel part of a code that has one: predicted codes are dense, so firing would say nothing."""
    part = "novel" if "novel" in named.sae.parts else None
    return Target(named.name, named.sae, named.sites, part=part, sae_hash=named.content_hash)


def _make_atlas(materials: Materials, targets: Sequence[Target], folder: Path, *, resume: bool, command: str) -> None:
    settings, processes = materials.config.atlas, materials.processes
    options = PassOptions(gatherers=settings.gatherers, resume=resume, processes=processes, resume_command=command)
    names = names_of(materials.text)
    result = scan(materials.whole, targets, folder, config=settings.scan, model=materials.model, names=names, options=options)
    if processes.rank > 0:
        return  # what follows is for one process
    get_display().say(f"scanned {result.n_tokens:,} tokens -> {folder}")
    try:
        for target in targets:
            _relate(materials, target, folder, resume=resume)
            _measure(materials, target, folder, resume=resume)
    except KeyboardInterrupt as error:
        raise Interrupted(f"interrupted; the scan and what was worked out from it are kept.\n  Go on with:  {command}") from error


def _relate(materials: Materials, target: Target, folder: Path, *, resume: bool) -> None:
    keys = [key for key in target.keys if not (resume and relations_folder(folder, key).exists())]
    if not materials.config.atlas.relations or not materials.config.atlas.scan.n_kept_tokens or not keys:
        return
    written = what_latents_write(target.sae, n_sites=len(target.sites))
    for key in keys:
        relate_latents(open_atlas(folder), key, written=written)


def _measure(materials: Materials, target: Target, folder: Path, *, resume: bool) -> None:
    n_firings = materials.config.atlas.effects
    if not n_firings or (resume and all(effects_folder(folder, key).exists() for key in target.keys)):
        return
    model = materials.spliced_model(target.sites)
    if model is None:
        get_display().warn(f"{target.key} reads two models: what its latents do for the next token is not measured.")
        return
    measure_effects(open_atlas(folder), target, model, config=EffectsConfig(n_per_decile=n_firings))
