"""Neuronpedia's bulk folder: what its import takes, a source (one SAE at one layer) to a folder.

    MODEL_ID/LAYER-SET/release.jsonl, model.jsonl, sourceset.jsonl, source.jsonl     a row each
    MODEL_ID/LAYER-SET/features/batch-<i>.jsonl.gz          a row for each latent that fires
    MODEL_ID/LAYER-SET/activations/batch-<i>.jsonl.gz       a row for each of its examples
    MODEL_ID/LAYER-SET/explanations/batch-<i>.jsonl.gz      a row for each explanation

Rows have Neuronpedia's names (its tables Neuron, Activation, Explanation, Source, SourceSet, SourceRelease, Model); `index` is
the latent, `layer` the id of the source. Ids and dates follow from the atlas, so the same atlas is the same folder.

Who writes and reads it: `neuronpedia_export.py` of SAEDashboard, `neuronpedia_utils` of Neuronpedia, its published exports. The
value of an explanation's `typeName` and `explanationModelName` must be known to the server it is imported to, so both are null
unless they are said.
"""

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from monoseme.atlas.formats._base import AtlasFormat
from monoseme.atlas.formats._neuronpedia_rows import Named, activation_rows_of, explanation_row, feature_row, release_rows
from monoseme.atlas.formats._notes import NotedExample, Notes
from monoseme.atlas.formats._part import ExportPart
from monoseme.atlas.formats._writing import batched, details_text, row_file, write_rows
from monoseme.atlas.said import Explanation
from monoseme.core.errors import ConfigError, ForeignError
from monoseme.core.foreign import as_latent, as_numbers, as_text, as_texts, numbered, read_rows

_BATCH = r"batch-(\d+)\.jsonl(?:\.gz)?"
_KINDS = ("explanations", "activations", "features")


class Neuronpedia(AtlasFormat):
    """Dashboards and explanations for a Neuronpedia server."""

    looks_for: ClassVar[str] = "source.jsonl, or activations/batch-0.jsonl.gz"
    several_sites: ClassVar[bool] = True

    @dataclass(frozen=True, kw_only=True)
    class Config(AtlasFormat.Config):
        """What Neuronpedia calls model, set and release, and who made them."""

        model_id: str = "model"
        """Name of the language model at Neuronpedia, such as gemma-2-2b."""
        set_name: str | None = None
        """Name of the source set. None: the SAE's name in the atlas."""
        release: str | None = None
        """Name of the release. None: the name of the set."""
        creator: str = ""
        """Who made the SAE, as people read it."""
        creator_id: str = "monoseme"
        """Id of that user at the server."""
        explanation_type: str | None = None
        """How explanations were made, by a name that the server knows (typeName)."""
        explanation_model: str | None = None
        """Which language model made them, by a name that the server knows (explanationModelName)."""
        latents_per_batch: int = 1024
        """Features in a file (count)."""

        def __post_init__(self) -> None:
            if self.latents_per_batch < 1:
                raise ConfigError(f"latents_per_batch is {self.latents_per_batch}, but must be at least 1.")
            for name in (self.model_id, self.set_name or "set"):
                if not name or name.startswith(".") or set(name) & set("/\\\0"):
                    raise ConfigError(f'"{name}" cannot name a model or a set of SAEs: it names a folder there.')

    def __init__(self, config: Config | None = None) -> None:
        super().__init__(config)
        self.config = config or self.Config()

    def recognises(self, path: Path) -> bool:
        """By the row of the source, or by batches of rows."""
        return bool(_sources(path))

    def write(self, parts: Sequence[ExportPart], folder: Path) -> tuple[str, ...]:
        """A source for each part; one latent is in memory at a time."""
        for part in parts:
            named = self._named(part)
            source = folder / named.model_id / named.source_id
            for name, row in release_rows(named, part, len(part.numbers)).items():
                write_rows(source / f"{name}.jsonl", [row])
            self._write_latents(part, named, source)
        lost = ["the histogram of logits over the whole vocabulary: an atlas keeps the ends of it"]
        if all(part.decoder is None for part in parts):
            lost.append("vectors, with which Neuronpedia steers: no decoder was given")
        if any(part.scored for part in parts):
            lost.append("scores: an export of Neuronpedia holds none")
        return tuple(lost)

    def read(self, path: Path) -> Notes:
        """Explanations and examples of one source. Raises ForeignError for several, or none."""
        found = _sources(path)
        if len(found) != 1:
            named = ", ".join(str(source) for source in found[:5]) or "none"
            raise ForeignError(f"one source of Neuronpedia is read at a time; {path} holds: {named}")
        source = found[0]
        said: dict[int, Explanation] = {}
        n_more = 0
        for row in _rows(source / "explanations"):
            one = _explanation(row, where=f"explanations of {source}")
            n_more += one.latent in said
            said.setdefault(one.latent, one)
        lost = [f"{n_more:,} further explanations of latents that have one already"] if n_more else []
        lost.append("statistics, histograms and tokens of each latent: the atlas has its own")
        examples = functools.partial(_examples, source)
        return Notes(explanations=tuple(said.values()), examples=examples, lost=tuple(lost))

    def _named(self, part: ExportPart) -> Named:
        config = self.config
        set_name = config.set_name or part.key.rpartition("@")[0] or part.key
        return Named(
            model_id=config.model_id,
            set_name=set_name,
            source_id=f"{part.site.layer}-{set_name}",
            release=config.release or set_name,
            creator=config.creator,
            creator_id=config.creator_id,
            created_at=part.started,
        )

    def _write_latents(self, part: ExportPart, named: Named, source: Path) -> None:
        config, size = self.config, self.config.latents_per_batch
        for number, batch in enumerate(batched(part.firing, size)):
            name = f"batch-{number}.jsonl.gz"
            with row_file(source / "features" / name) as put_feature, row_file(source / "activations" / name) as put_activation:
                for page in part.pages(batch):
                    put_feature(feature_row(page, part, named))
                    for row in activation_rows_of(page, named):
                        put_activation(row)
        with_row = set(part.firing)  # an explanation of a latent without a row of its own is not taken
        said = (one for one in part.explained.values() if one.text is not None and one.latent in with_row)
        for number, batch in enumerate(batched(said, size)):
            rows = [explanation_row(one, named, method=config.explanation_type, model=config.explanation_model) for one in batch]
            write_rows(source / "explanations" / f"batch-{number}.jsonl.gz", rows)


def _sources(path: Path) -> list[Path]:
    """The folders of sources at or below a path, two levels deep."""
    if not path.is_dir():
        return []
    places = [path, *sorted(path.glob("*/")), *sorted(path.glob("*/*/"))]
    return [place for place in places if any(numbered(place / kind, _BATCH) for kind in _KINDS)]


def _rows(folder: Path) -> Iterator[dict[str, Any]]:
    for file in numbered(folder, _BATCH):
        yield from read_rows(file)


def _explanation(row: dict[str, Any], *, where: str) -> Explanation:
    method, model = row.get("typeName"), row.get("explanationModelName")
    said = {"method": method, "model": model}
    told = {name: as_text(value, where=f"{name} of {where}") for name, value in said.items() if value is not None}
    latent = as_latent(row.get("index"), where=f"index of {where}")
    text = as_text(row.get("description"), where=f"description of {where}")
    return Explanation(latent=latent, text=text, details=details_text(told))


def _examples(source: Path) -> Iterator[NotedExample]:
    where = f"activations of {source}"
    for row in _rows(source / "activations"):
        texts, values = as_texts(row.get("tokens"), where=where), as_numbers(row.get("values"), where=where)
        if len(texts) != len(values):
            raise ForeignError(f"{where} have a row of {len(texts)} tokens, but {len(values)} values")
        yield NotedExample(
            latent=as_latent(row.get("index"), where=f"index of {where}"),
            texts=texts,
            values=values,
            focus=_focus(row, len(texts)),
            group=_group(row),
        )


def _focus(row: dict[str, Any], n_tokens: int) -> int | None:
    for name in ("qualifyingTokenIndex", "maxValueTokenIndex"):
        value = row.get(name)
        if isinstance(value, int) and 0 <= value < n_tokens:
            return value
    return None


def _group(row: dict[str, Any]) -> str:
    low, high = row.get("binMin"), row.get("binMax")
    if not isinstance(low, int | float) or not isinstance(high, int | float):
        return ""
    return "top" if low < 0 else f"{low:g} to {high:g}"
