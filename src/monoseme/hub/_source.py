"""What is to be pushed: an SAE or a run on this machine, with what belongs to it."""

import re
from pathlib import Path
from typing import Any, NamedTuple

from monoseme.atlas import Annotation, Atlas, open_atlas
from monoseme.core.artifact import MANIFEST, open_artifact
from monoseme.core.config import suggest
from monoseme.core.display import get_display
from monoseme.core.errors import ArtifactMissingError, ConfigError
from monoseme.pipeline import RUN_FILE, RunFolder

NO_EXPLANATIONS = "none"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+-]*")


class Source(NamedTuple):
    """SAEs to push."""

    run: RunFolder | None
    """None for an SAE that belongs to no run, such as an imported one."""
    saes: dict[str, Path]
    """Name -> artifact."""
    record: dict[str, Any]
    """The run's; empty without one."""

    @property
    def atlas(self) -> Atlas | None:
        """That of the run, where it has one."""
        if self.run is None or "atlas" not in self.record["artifacts"] or not (self.run.atlas / "text").is_dir():
            return None
        return open_atlas(self.run.atlas)

    @property
    def model(self) -> str | None:
        """The language model as it was named."""
        if self.run is not None:
            return str(self.record["config"].get("model", {}).get("model", "bundled"))
        said = open_artifact(next(iter(self.saes.values())), kind="sae").config.get("model")
        name = said.get("model") if isinstance(said, dict) else said
        return name if isinstance(name, str) else None

    @property
    def corpus(self) -> str | None:
        """The text as it was named."""
        return None if self.run is None else str(self.record["config"].get("corpus", {}).get("source", "bundled"))

    def evaluations(self, sae: str) -> dict[str, Path]:
        """Evaluation -> its report."""
        if self.run is None:
            return {}
        found = self.record["artifacts"].get("evaluations", {}).get(sae, {})
        return {name: self.run.path / path for name, path in found.items()}


def source_of(word: str) -> Source:
    """The SAEs that a word means: a run, or one finished SAE. Raises ArtifactMissingError, ConfigError."""
    path = Path(word)
    if (path / RUN_FILE).is_file():
        run = RunFolder(path)
        saes = {name: run.sae(name) for name in run.sae_names()}
        if not saes:
            raise ArtifactMissingError(f"{path} has no finished SAE to push.")
        return Source(run, {_name(name): path for name, path in saes.items()}, run.record())
    if (path / MANIFEST).is_file():
        open_artifact(path, kind="sae")
        run = RunFolder(path.resolve().parent.parent)
        is_of_run = path.resolve().parent.name == "saes" and (run.path / RUN_FILE).is_file()
        return Source(run if is_of_run else None, {_name(path.resolve().name): path}, run.record() if is_of_run else {})
    if path.exists():
        raise ConfigError(
            f"{path} is neither a run nor an SAE of monoseme.\n"
            "  Import what another tool wrote first:  monoseme import PATH --out OUT"
        )
    near = suggest(path.name, [p.name for p in path.parent.iterdir()]) if path.parent.is_dir() else ""
    raise ArtifactMissingError(f"there is no run or SAE at {word}.{near}\n  Give a run's folder, or RUN/saes/NAME.")


def _name(name: str) -> str:
    """A folder's name as one of a repository. Raises ConfigError where a card or an address could not hold it."""
    if not _NAME.fullmatch(name):
        raise ConfigError(
            f"an SAE called {name!r} cannot be pushed: rename its folder.\n  Allowed: letters, digits and . _ @ + -"
        )
    return name


def atlas_keys(source: Source) -> dict[str, list[str]]:
    """SAE -> what the atlas calls it (one key a part or a site); an atlas of another SAE under its name is left out, and told."""
    atlas = source.atlas
    found: dict[str, list[str]] = {name: [] for name in source.saes}
    for key in [] if atlas is None else atlas.saes():
        artifact = atlas.latents(key).artifact if atlas is not None else None
        name = str(artifact.config["name"]) if artifact is not None else ""
        if artifact is None or name not in source.saes:
            continue
        if artifact.inputs.get("sae") == open_artifact(source.saes[name]).content_hash:
            found[name].append(key)
        else:
            get_display().warn(f"the atlas is of another {key} than this SAE: what it says of latents is not sent.")
    return found


def chosen_annotations(source: Source, keys: list[str], label: str | None) -> dict[str, list[Annotation]]:
    """Key -> the annotations that travel: all (None), those of one label with its scores, or none.

    Raises ConfigError for a label that no key has.
    """
    atlas = source.atlas
    if atlas is None or label == NO_EXPLANATIONS:
        if label not in (None, NO_EXPLANATIONS):
            raise ConfigError(f"there are no explanations {label!r}: this SAE has no atlas.\n  Make one with:  monoseme scan")
        return {}
    held = {key: atlas.annotations(key) for key in keys}
    found = {key: [one for one in parts if label is None or _is_of(one, label)] for key, parts in held.items()}
    if label is not None and not any(found.values()):
        labels = sorted({one.label for parts in held.values() for one in parts if one.holds == "explanations"})
        raise ConfigError(
            f'no explanations are labelled "{label}".{suggest(label, labels)}\n'
            f"  There are: {', '.join(labels) or 'none yet'}; or leave them out with --explanations none"
        )
    return {key: parts for key, parts in found.items() if parts}


def _is_of(annotation: Annotation, label: str) -> bool:
    """The explanations of a label, and the scores of them."""
    of = annotation.label if annotation.holds == "explanations" else annotation.artifact.config.get("explanations")
    return of == label or (annotation.holds == "examples" and annotation.label == f"{label}.examples")
