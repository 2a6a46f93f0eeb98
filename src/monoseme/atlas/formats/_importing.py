"""From a foreign file to annotations of an atlas: explanations, their scores, and the examples that came along."""

import itertools
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from monoseme.atlas.annotate import find_annotation
from monoseme.atlas.annotations import check_free, write_explanations, write_scores
from monoseme.atlas.atlas import Atlas
from monoseme.atlas.formats._base import AtlasFormat
from monoseme.atlas.formats._notes import NotedExample, Notes
from monoseme.atlas.formats._registry import ATLAS_FORMATS
from monoseme.atlas.formats._writing import batched
from monoseme.atlas.latents import Latents
from monoseme.core.artifact import new_artifact
from monoseme.core.config import to_dict
from monoseme.core.errors import ConfigError, ForeignError
from monoseme.core.recognise import recognised

_ROWS_PER_GROUP = 4096
_EXAMPLE_TYPES = pa.schema(
    [
        ("latent", pa.int32()),
        ("layer", pa.int32()),
        ("group", pa.string()),
        ("focus", pa.int32()),
        ("texts", pa.list_(pa.string())),
        ("tokens", pa.list_(pa.int64())),
        ("values", pa.list_(pa.float32())),
    ]
)


class ImportedNotes(NamedTuple):
    """What an import added to an atlas."""

    format: str
    labels: tuple[str, ...]
    """Of the annotations it made."""
    n_explanations: int
    n_scores: int
    n_examples: int
    lost: tuple[str, ...]
    """What does not come along, and why."""


def find_atlas_format(path: Path, name: str | None = None) -> str:
    """The name of the format of a file or folder: `name`, checked, or the one format that recognises it.

    Raises ForeignError when none does or several do, UnknownPluginError for a name that there is not.
    """
    if not path.exists():
        raise ForeignError(f"there is no file or folder {path}")
    return recognised(ATLAS_FORMATS, path, name, unknown="says nothing of latents in a known format")


def read_notes(path: Path, *, format: str | None = None, config: AtlasFormat.Config | None = None) -> Notes:
    """What a file or folder says of latents, without an atlas. Raises ForeignError, UnknownPluginError."""
    return ATLAS_FORMATS.get(find_atlas_format(Path(path), format))(config).read(Path(path))


def import_notes(
    atlas: Atlas,
    sae: str,
    path: Path,
    *,
    format: str | None = None,
    config: AtlasFormat.Config | None = None,
    label: str | None = None,
) -> ImportedNotes:
    """Append what a file or folder says of the latents of `sae`, under `label` (None: the name of the format).

    Scores go to `<label>.scores`, examples to `<label>.examples`, where they stay as the other tool shows them.
    Raises ForeignError, ConfigError (a latent that `sae` does not have, nothing to take over), ArtifactExistsError.
    """
    path = Path(path)
    name = find_atlas_format(path, format)
    kind = ATLAS_FORMATS.get(name)
    config = config or kind.Config()
    notes, about, label = kind(config).read(path), atlas.latents(sae), label or name
    folders = {suffix: check_free(atlas.path, sae, f"{label}{suffix}") for suffix in ("", ".scores", ".examples")}
    _check(notes, about, path)
    described = {"explainer": name, "config": to_dict(config), "imported": {"format": name, "lost": list(notes.lost)}}
    made: list[str] = []
    n_examples = _write_examples(folders[".examples"], notes, about=about, config=described)  # first: they may yet be refused
    if notes.explanations:
        write_explanations(folders[""], notes.explanations, about=about, config=described)
        made.append(label)
    if notes.scores:
        scored = {"scorer": name, "definitions": dict(notes.definitions), "headline": next(iter(notes.definitions))}
        source = find_annotation(atlas, sae, label)
        write_scores(folders[".scores"], notes.scores, about=about, explanations=source, config=described | scored)
        made.append(f"{label}.scores")
    made += [f"{label}.examples"] if n_examples else []
    if not made:
        raise ForeignError(f"{path} says nothing of any latent")
    return ImportedNotes(name, tuple(made), len(notes.explanations), len(notes.scores), n_examples, notes.lost)


def _check(notes: Notes, about: Latents, path: Path) -> None:
    numbers = [said.latent for said in notes.explanations]
    largest = max([*numbers, *(score.latent for score in notes.scores)], default=0)
    if largest >= about.n_latents:
        raise ConfigError(
            f"{path} speaks of latent {largest:,}, but {about.key} has {about.n_latents:,}: it is about another SAE."
        )
    latent, n_said = next(iter(Counter(numbers).most_common(1)), (0, 0))
    if n_said > 1:
        raise ForeignError(f"{path} has {n_said} explanations of latent {latent}; an annotation holds one.")
    if notes.scores and not notes.explanations:
        raise ForeignError(f"{path} has scores, but not the explanations that they are of.")


def _write_examples(folder: Path, notes: Notes, *, about: Latents, config: dict[str, Any]) -> int:
    """The number written; without any there is no folder. Raises ConfigError for a latent that there is not."""
    examples = notes.examples()
    first = next(examples, None)
    if first is None:
        return 0
    n_written = 0
    described = {"holds": "examples", "key": about.key, **config}
    rows = (_row(example, about) for example in itertools.chain([first], examples))
    with (
        new_artifact(folder, kind="atlas", config=described, inputs={"latents": about.content_hash}) as draft,
        pq.ParquetWriter(draft.folder / "examples.parquet", _EXAMPLE_TYPES, compression="zstd") as writer,
    ):
        for batch in batched(rows, _ROWS_PER_GROUP):
            writer.write_table(pa.Table.from_pylist(batch, schema=_EXAMPLE_TYPES))
            n_written += len(batch)
    return n_written


def _row(example: NotedExample, about: Latents) -> dict[str, Any]:
    about.check_latent(example.latent)
    return {name: getattr(example, name) for name in _EXAMPLE_TYPES.names}
