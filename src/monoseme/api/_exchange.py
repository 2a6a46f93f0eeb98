"""In from other tools and hubs, and out: import_sae, import_activations, import_notes, export_sae, export_atlas, push, pull."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from monoseme.api._places import atlas_at, only_sae, word_of
from monoseme.api._settings import Settings, changed, one_of

if TYPE_CHECKING:
    from monoseme.activations.formats import Imported
    from monoseme.atlas.formats import Exported, ImportedNotes
    from monoseme.hub import Pulled, Pushed
    from monoseme.interchange import ExportedSae, ImportedSaes


def import_sae(
    path: str | Path, out: str | Path, *, format: str | None = None, fingerprint: str | Path | None = None,
    settings: Settings | None = None,
) -> "ImportedSaes":  # fmt: skip
    """Takes over SAEs of another tool; their format is recognised if not named. `settings` are those of the format."""
    from monoseme.interchange import SAE_FORMATS, find_sae_format, import_saes

    name = find_sae_format(Path(path), format)
    config = changed(SAE_FORMATS.get(name).Config(), settings)
    verified_by = None if fingerprint is None else Path(fingerprint)
    return import_saes(Path(path), Path(out), format=name, config=config, fingerprint=verified_by)


def import_activations(
    path: str | Path, out: str | Path, *, format: str | None = None, settings: Settings | None = None, resume: bool = False
) -> "Imported":
    """Takes over a store of activations. `settings` are those of the format, and dtype, shard_bytes, max_bytes of our store."""
    from monoseme.activations.formats import ACTIVATION_FORMATS, find_format
    from monoseme.activations.formats import import_activations as taken_over

    name = find_format(str(path), format)
    storage = one_of(settings, ("dtype", "shard_bytes", "max_bytes"))
    own = {key: value for key, value in (settings or {}).items() if key not in storage}
    options = changed(ACTIVATION_FORMATS.get(name).Config(), own)
    return taken_over(Path(path), str(out), format=name, options=options, storage=storage, resume=resume)


def import_notes(
    path: str | Path, atlas: Any, *, sae: str | None = None, label: str | None = None, format: str | None = None,
    settings: Settings | None = None,
) -> "ImportedNotes":  # fmt: skip
    """Takes over what another tool says of latents, as annotations of an atlas or of a run's."""
    from monoseme.atlas.formats import ATLAS_FORMATS, find_atlas_format
    from monoseme.atlas.formats import import_notes as noted

    name = find_atlas_format(Path(path), format)
    found = atlas_at(atlas)
    config = changed(ATLAS_FORMATS.get(name).Config(), settings)
    return noted(found, only_sae(found, sae), Path(path), format=name, config=config, label=label)


def export_sae(
    sae: Any, out: str | Path, *, format: str, fingerprint: bool = True, settings: Settings | None = None
) -> "ExportedSae":
    """Writes an SAE as another tool keeps it, into a new folder."""
    from monoseme.interchange import SAE_FORMATS
    from monoseme.interchange import export_sae as exported
    from monoseme.pipeline import open_sae

    named = open_sae(word_of(sae))
    config = changed(SAE_FORMATS.get(format).WriteConfig(), settings)
    return exported(named.sae, Path(out), format=format, source=named.export_source, config=config, fingerprint=fingerprint)


def export_atlas(
    atlas: Any, out: str | Path, *, format: str, sae: str | None = None, settings: Settings | None = None
) -> "Exported":
    """Writes latents of an atlas, or of a run's, as another tool wants them.

    `settings` are those of the format, and `which` (as `which.latents`), `explanations` and `scores`, labels of annotations.
    """
    from monoseme.atlas.formats import ATLAS_FORMATS, ExportChoice
    from monoseme.atlas.formats import export_atlas as exported

    found = atlas_at(atlas)
    of_choice = one_of(settings, ("which", "explanations", "scores"))
    own = {key: value for key, value in (settings or {}).items() if key not in of_choice}
    config = changed(ATLAS_FORMATS.get(format).Config(), own)
    choice = changed(ExportChoice(), of_choice)
    return exported(found, only_sae(found, sae), Path(out), format=format, config=config, choice=choice)


def push(place: Any, repo: str, *, settings: Settings | None = None) -> "Pushed":
    """Sends a run, or one SAE, to `repo`: owner/name on the hub, or a path. `settings`: licence, dry_run ..."""
    from monoseme.hub import PushConfig
    from monoseme.hub import push as sent

    return sent(word_of(place), repo, changed(PushConfig(), settings))


def pull(repo: str, out: str | Path, *, revision: str | None = None, atlas: bool = False) -> "Pulled":
    """Fetches SAEs from `repo` (owner/name, owner/name@REVISION) into the new folder `out`, verified; with `atlas`, that too."""
    from monoseme.hub import pull as fetched

    return fetched(repo, out=out, revision=revision, atlas=atlas)
