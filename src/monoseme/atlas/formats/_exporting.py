"""From an atlas to a folder of another tool, which is whole or absent."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from monoseme.atlas.annotate import find_annotation
from monoseme.atlas.annotations import Annotation
from monoseme.atlas.atlas import Atlas
from monoseme.atlas.choice import LatentChoice
from monoseme.atlas.formats._base import AtlasFormat
from monoseme.atlas.formats._part import ExportPart
from monoseme.atlas.formats._registry import ATLAS_FORMATS
from monoseme.core.artifact import exists_error
from monoseme.core.config import suggest
from monoseme.core.drafts import new_folder
from monoseme.core.errors import ConfigError


class Exported(NamedTuple):
    """What an export wrote."""

    format: str
    out: Path
    keys: tuple[str, ...]
    """The (SAE, part) in the atlas that were exported."""
    n_latents: int
    """Latents that were asked for (count), dead ones included."""
    n_files: int
    n_bytes: int
    lost: tuple[str, ...]
    """What the format cannot hold, or the atlas has not."""


@dataclass(frozen=True, kw_only=True)
class ExportChoice:
    """Which latents go out, and what is said of them."""

    which: LatentChoice = field(default_factory=LatentChoice)
    """Which latents; by default all of them."""
    explanations: str | None = None
    """Label of the explanations. None: the newest, if there are any."""
    scores: str | None = None
    """Label of the scores. None: the newest of those explanations, if there are any."""


def export_atlas(
    atlas: Atlas,
    sae: str,
    out: Path,
    *,
    format: str,
    config: AtlasFormat.Config | None = None,
    choice: ExportChoice | None = None,
    decoders: Mapping[str, NDArray[np.float32]] | None = None,
) -> Exported:
    """Write latents of `sae` (`choice` None: all) into the new folder `out`; a kill leaves no folder.

    `sae` is a key of the atlas, or the name of an SAE that was scanned at several sites, for formats that hold these together.
    `decoders` [F, D] of keys add vectors.

    Raises ArtifactExistsError, ConfigError, UnknownPluginError, DiskFullError.
    """
    out = Path(out)
    if out.exists():
        raise exists_error(out)
    chosen = ATLAS_FORMATS.get(format)
    keys = find_keys(atlas, sae, several=chosen.several_sites)
    parts = [_part(atlas, key, choice or ExportChoice(), (decoders or {}).get(key)) for key in keys]
    with new_folder(out) as draft:
        lost = chosen(config).write(parts, draft)
        files = [path for path in draft.rglob("*") if path.is_file()]
        n_bytes = sum(path.stat().st_size for path in files)
    n_latents = sum(len(part.numbers) for part in parts)
    return Exported(format, out, tuple(keys), n_latents, len(files), n_bytes, lost)


def find_keys(atlas: Atlas, sae: str, *, several: bool) -> list[str]:
    """The keys that a name stands for: itself, or `name@site` of every site. Raises ConfigError."""
    keys = atlas.saes()
    if sae in keys:
        return [sae]
    found = [key for key in keys if key.rpartition("@")[0] == sae]
    if not found:
        raise ConfigError(f'this atlas has no SAE "{sae}".{suggest(sae, keys)}\n  It has: {", ".join(keys)}')
    if not several:
        raise ConfigError(f"{sae} was scanned at several sites, and this format holds one.\n  Choose: {', '.join(found)}")
    return sorted(found, key=lambda key: (atlas.latents(key).site.rpartition(".")[0], _layer(atlas, key)))


def _layer(atlas: Atlas, key: str) -> int:
    layer = atlas.latents(key).site.partition("@")[0].rpartition(".")[2]
    return int(layer) if layer.isdigit() else 0


def _part(atlas: Atlas, key: str, choice: ExportChoice, decoder: NDArray[np.float32] | None) -> ExportPart:
    said = _chosen(atlas, key, choice.explanations, holds="explanations")
    scored = _chosen(atlas, key, choice.scores, holds="scores", of=said)
    numbers = choice.which.of(atlas.latents(key))
    return ExportPart(atlas, key, numbers=numbers, explanations=said, scores=scored, decoder=decoder)


def _chosen(atlas: Atlas, key: str, label: str | None, *, holds: str, of: Annotation | None = None) -> Annotation | None:
    """The annotation of that label; None: the newest that fits, if there is one."""
    if label is not None:
        found = find_annotation(atlas, key, label)
        if found.holds != holds:
            raise ConfigError(f'"{label}" of {key} holds {found.holds}, not {holds}.')
        return found
    fitting = [annotation for annotation in atlas.annotations(key) if annotation.holds == holds]
    if holds == "scores":
        fitting = [found for found in fitting if of is not None and found.artifact.config.get("explanations") == of.label]
    return fitting[0] if fitting else None
