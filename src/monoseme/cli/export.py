"""Write an SAE, or latents of an atlas, as other tools want them: weights, dashboards, caches, explanations.

    monoseme export RUN/saes/topk --format saelens --out OUT     an SAE (RUN@STEP, or a file of another tool)
    monoseme export ATLAS --format NAME --out OUT
    monoseme export RUN --sae topk --format neuronpedia --out OUT --model_id gemma-2-2b --vectors
    monoseme export RUN --sae topk --format saedashboard --out OUT --latents 0-99,512
    monoseme export RUN --sae topk --format tsae --out OUT --explanations offline
    monoseme export --format NAME --help     the settings of a format

What a format cannot hold, or the atlas has not, is told. OUT is a new folder, whole or absent. --explanations and --scores name
annotations by their labels (the newest, if not said); --vectors adds what latents write, from the SAEs of the run.
"""

from pathlib import Path
from typing import TypeGuard

import numpy as np
from numpy.typing import NDArray

from monoseme.atlas import Atlas
from monoseme.atlas.choice import LatentChoice
from monoseme.atlas.formats import ATLAS_FORMATS, ExportChoice, export_atlas
from monoseme.cli._atlas_words import Exchange, OwnFlag, format_lines, read_flags, value_of
from monoseme.cli._export_saes import ONE_SAE, export_one_sae
from monoseme.cli._options import wants_help, write
from monoseme.cli._verbs import document
from monoseme.core.config import suggest
from monoseme.core.display import counted, get_display
from monoseme.core.errors import ConfigError, UnknownPluginError
from monoseme.interchange import SAE_FORMATS
from monoseme.pipeline import RUN_FILE, RunFolder, atlas_at, only_sae

_ATLAS = Exchange(
    "atlases",
    ATLAS_FORMATS,
    {
        "format": OwnFlag(str, "Format of OUT.", ""),
        "out": OwnFlag(str | None, "New folder.", None),
        "sae": OwnFlag(str | None, "Which SAE of the atlas; not needed where there is one.", None),
        "which": OwnFlag(LatentChoice, "", LatentChoice()),
        "explanations": OwnFlag(str | None, "Label of the explanations. None: the newest, if there are any.", None),
        "scores": OwnFlag(str | None, "Label of the scores. None: the newest of those explanations, if there are any.", None),
        "vectors": OwnFlag(bool, "With what each latent writes, from the SAEs of the run.", False),
    },
)


def exchanges() -> tuple[Exchange, ...]:
    """What can be exported, with the flags for it."""
    return ONE_SAE, _ATLAS


def main(words: list[str]) -> int:
    """Exports the latents of one SAE."""
    name = value_of(words, "--format")
    if not words or (wants_help(words) and name is None):
        lists = "".join(f"\n\nFormats of {each.what}:\n{format_lines(each.formats)}" for each in exchanges())
        write(f"{document('export')}{lists}")
        return 0
    place, rest = (None, words) if words[0].startswith("-") else (words[0], words[1:])
    if name is None:
        raise ConfigError(
            f"export needs a format: --format NAME.\n  Of SAEs: {', '.join(SAE_FORMATS.names())}\n"
            f"  Of atlases: {', '.join(ATLAS_FORMATS.names())}"
        )
    if _means_sae(place, name):
        return export_one_sae(place, name, rest, summary=document("export"))
    if name not in ATLAS_FORMATS.names():
        raise UnknownPluginError(
            f'no format is named "{name}".{suggest(name, [*SAE_FORMATS.names(), *ATLAS_FORMATS.names()])}\n'
            f"  Of SAEs: {', '.join(SAE_FORMATS.names())}\n  Of atlases: {', '.join(ATLAS_FORMATS.names())}"
        )
    flags = read_flags(_ATLAS, name, rest, verb=f"export ATLAS --format {name}", summary=document("export"))
    if place is None or flags.out is None:
        raise ConfigError("export needs an atlas and a new folder.\n  Type:  monoseme export ATLAS --format NAME --out OUT")
    atlas = atlas_at(Path(place))
    sae = only_sae(atlas, flags.sae, asked_by="--sae")
    found = export_atlas(
        atlas,
        sae,
        Path(flags.out),
        format=name,
        config=flags.settings,
        choice=ExportChoice(which=flags.which, explanations=flags.explanations, scores=flags.scores),
        decoders=_decoders(Path(place), atlas, sae) if flags.vectors else None,
    )
    display = get_display()
    display.say(f"exported {counted(found.n_latents, 'latents')} of {', '.join(found.keys)} to {found.out} ({found.format})")
    display.say(f"  files: {found.n_files:,}; bytes: {found.n_bytes:,}")
    for line in found.lost:
        display.say(f"  left out: {line}")
    display.result({**found._asdict(), "out": str(found.out)})
    return 0


def _means_sae(place: str | None, name: str) -> TypeGuard[str]:
    """Whether weights are to be written: only SAEs have the format, or the place is not an atlas nor a run that may have one."""
    if name not in ATLAS_FORMATS.names():
        return place is not None and name in SAE_FORMATS.names()
    path = Path(place or "")
    is_run = (path / RUN_FILE).is_file()
    is_atlas = (path / "text").is_dir()
    return place is not None and name in SAE_FORMATS.names() and not is_run and not is_atlas


def _decoders(run: Path, atlas: Atlas, sae: str) -> dict[str, NDArray[np.float32]]:
    """What the latents of each key write, from the SAEs of the run. Raises ConfigError where they are not there."""
    if not (run / RUN_FILE).is_file():
        raise ConfigError(f"--vectors needs the SAEs of a run, and {run} is an atlas alone. Name the run.")
    keys = [key for key in atlas.saes() if key == sae or key.rpartition("@")[0] == sae]
    return {key: _decoder(RunFolder(run).sae(str(atlas.latents(key).artifact.config["name"])), atlas, key) for key in keys}


def _decoder(path: Path, atlas: Atlas, key: str) -> NDArray[np.float32]:
    from monoseme.saes import load_sae  # torch comes with it

    weights = load_sae(path).state_dict().get("W_dec")
    n_latents = atlas.latents(key).n_latents
    if weights is None or weights.ndim != 2 or len(weights) != n_latents:
        raise ConfigError(f"{key} has no single vector that each of its {n_latents:,} latents writes. Leave --vectors out.")
    return weights.float().numpy()
