"""SAEDashboard's `batch-<i>.json`: dashboards of a batch of latents, as its Neuronpedia runner writes them.

A folder of

    batch-0.json            {model_id, layer, sae_set, features: [...]}, latents_per_batch features each
    skipped_indexes.json    {model_id, layer, sae_set, log_sparsity, skipped_indexes}: the latents that never fired
    run_settings.json       how the folder was made

A feature has `feature_index`, the fields that `_dashboard.py` describes, `n_prompts_total`, `n_tokens_in_prompt`, `dataset` and
`activations`: {bin_min, bin_max, bin_contains, tokens, values, qualifying_token_index}.

Who writes and reads it: SAEDashboard 0.8 (`sae_dashboard/neuronpedia/neuronpedia_dashboard.py`) and what uploads to Neuronpedia.
"""

import functools
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from monoseme.atlas.formats._base import AtlasFormat
from monoseme.atlas.formats._dashboard import activation_rows, feature_fields
from monoseme.atlas.formats._notes import NotedExample, Notes
from monoseme.atlas.formats._part import ExportedLatent, ExportPart
from monoseme.atlas.formats._writing import batched
from monoseme.core.config import to_dict
from monoseme.core.errors import ConfigError, ForeignError
from monoseme.core.files import write_atomic
from monoseme.core.foreign import (
    as_latent,
    as_list,
    as_number,
    as_numbers,
    as_object,
    as_texts,
    numbered,
    read_json_object,
)

_BATCH = r"batch-(\d+)\.json"


class SaeDashboard(AtlasFormat):
    """Statistics, tokens and examples of each latent that fires."""

    looks_for: ClassVar[str] = "batch-0.json"

    @dataclass(frozen=True, kw_only=True)
    class Config(AtlasFormat.Config):
        """What SAEDashboard names a model and a set of SAEs."""

        model_id: str = ""
        """Name of the language model at Neuronpedia, such as gemma-2-2b."""
        sae_set: str | None = None
        """Name of the set that the SAE is of. None: its name in the atlas."""
        latents_per_batch: int = 128
        """Features in a file (count)."""

        def __post_init__(self) -> None:
            if self.latents_per_batch < 1:
                raise ConfigError(f"latents_per_batch is {self.latents_per_batch}, but must be at least 1.")

    def __init__(self, config: Config | None = None) -> None:
        super().__init__(config)
        self.config = config or self.Config()

    def recognises(self, path: Path) -> bool:
        """By the name of a batch."""
        return bool(numbered(path, _BATCH))

    def write(self, parts: Sequence[ExportPart], folder: Path) -> tuple[str, ...]:
        """One batch is in memory at a time."""
        (part,) = parts
        named = {
            "model_id": self.config.model_id,
            "layer": part.site.layer,
            "sae_set": self.config.sae_set or part.key,
        }
        for number, batch in enumerate(batched(part.firing, self.config.latents_per_batch)):
            features = [_feature(page, part) for page in part.pages(batch)]
            _write(folder / f"batch-{number}.json", named | {"features": features})
        skipped = sorted(set(part.numbers) - set(part.firing))
        told = named | {"layer": str(part.site.layer), "log_sparsity": None, "skipped_indexes": skipped}
        _write(folder / "skipped_indexes.json", told)
        _write(folder / "run_settings.json", {"made_by": "monoseme", "site": str(part.site), **to_dict(self.config)})
        return _lost(part)

    def read(self, path: Path) -> Notes:
        """The examples. Raises ForeignError for a folder without batches."""
        files = numbered(path, _BATCH)
        if not files:
            raise ForeignError(f"{path} has no batch-0.json")
        lost = "statistics, histograms and tokens of each latent: the atlas has its own"
        return Notes(examples=functools.partial(_examples, files), lost=(lost,))


def _feature(page: ExportedLatent, part: ExportPart) -> dict[str, Any]:
    text = part.scanned_text()
    facts = {"n_prompts_total": text.n_contexts, "n_tokens_in_prompt": text.context_len, "dataset": text.corpus}
    rows = [
        {
            "bin_min": row.bin_min,
            "bin_max": row.bin_max,
            "bin_contains": row.bin_contains,
            "tokens": row.tokens,
            "values": row.values,
            "qualifying_token_index": row.focus,
        }
        for row in activation_rows(page)
    ]
    known = {name: value for name, value in facts.items() if value is not None}
    return {"feature_index": page.latent, **feature_fields(page, part), **known, "activations": rows}


def _lost(part: ExportPart) -> tuple[str, ...]:
    lost = ["the histogram of logits over the whole vocabulary: an atlas keeps the ends of it"]
    if part.decoder is None:
        lost.append("vectors and their alignment with neurons: no decoder was given")
    if part.explained:
        lost.append("explanations and scores: SAEDashboard has no place for them")
    return tuple(lost)


def _examples(files: Sequence[Path]) -> Iterator[NotedExample]:
    for file in files:
        for feature in as_list(read_json_object(file).get("features"), where=f"features of {file}"):
            found = as_object(feature, where=f"a feature of {file}")
            latent = as_latent(found.get("feature_index"), where=f"feature_index in {file}")
            where = f"activations of feature {latent} in {file}"
            for row in as_list(found.get("activations"), where=where):
                yield _example(as_object(row, where=where), latent, where)


def _example(row: dict[str, Any], latent: int, where: str) -> NotedExample:
    texts, values = as_texts(row.get("tokens"), where=where), as_numbers(row.get("values"), where=where)
    if len(texts) != len(values):
        raise ForeignError(f"{where} have {len(texts)} tokens, but {len(values)} values")
    focus = row.get("qualifying_token_index")
    if focus is not None and (not isinstance(focus, int) or not 0 <= focus < len(texts)):
        raise ForeignError(f"{where} are about token {focus!r} of {len(texts)}")
    low, high = (as_number(row.get(name), where=f"{name} of {where}") for name in ("bin_min", "bin_max"))
    group = "top" if low < 0 else f"{low:g} to {high:g}"
    return NotedExample(latent=latent, texts=texts, values=values, focus=focus, group=group)


def _write(path: Path, content: dict[str, Any]) -> None:
    write_atomic(path, json.dumps(content, ensure_ascii=False, allow_nan=False))
