"""SAEBench's autointerp result: one JSON file for an SAE, with an explanation and a score of each latent.

    {eval_type_id: "autointerp", eval_config, eval_id, datetime_epoch_millis,
     eval_result_metrics: {autointerp: {autointerp_score, autointerp_std_dev}}, eval_result_details: [],
     eval_result_unstructured: {"LATENT": {latent, explanation, predictions, "correct seqs", score, logs}}, ...}

Who writes and reads it: SAEBench 0.6 (`sae_bench/evals/autointerp`), its graphs and Neuronpedia; T-SAE makes `explanations.json`
of it. `autointerp_score` is the mean of the scores, `autointerp_std_dev` their standard deviation (of a sample; of one
latent -1, SAEBench's word for missing). SAEBench's score is the share of 14 windows judged rightly, for which "none of
them" already gets 0.714; which number is written here is said in `eval_config`.
"""

import json
import math
import statistics
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from monoseme.atlas.formats._base import AtlasFormat
from monoseme.atlas.formats._notes import Notes
from monoseme.atlas.formats._part import ExportPart
from monoseme.atlas.formats._writing import details_text
from monoseme.atlas.said import Explanation, Score
from monoseme.core.config import suggest
from monoseme.core.errors import ConfigError, ForeignError
from monoseme.core.files import write_atomic
from monoseme.core.foreign import as_latent, as_number, as_object, as_text, read_bytes, read_json_object

_SUFFIX = "_eval_results.json"
_SCORE = "autointerp_score"
_DEFINITION = (
    "SAEBench's autointerp score: share of its windows judged rightly; in [0, 1], higher is better, always none is 0.714"
)
_PEEK = 4096


class SaebenchAutointerp(AtlasFormat):
    """Explanations, each with one score."""

    looks_for: ClassVar[str] = "NAME_eval_results.json of autointerp"

    @dataclass(frozen=True, kw_only=True)
    class Config(AtlasFormat.Config):
        """What SAEBench calls the SAE, and which number is its score."""

        release: str = "monoseme"
        """What the SAE belongs to (sae_lens_release_id)."""
        sae_id: str | None = None
        """Name of the SAE (sae_lens_id). None: its name in the atlas."""
        model_name: str = ""
        """Name of the language model."""
        score: str | None = None
        """Which score is written. None: the one that tables show."""

        def __post_init__(self) -> None:
            if not self.release or self.release.startswith(".") or set(self.release) & set("/\\\0"):
                raise ConfigError(f'"{self.release}" cannot name a release: it names a file.')

    def __init__(self, config: Config | None = None) -> None:
        super().__init__(config)
        self.config = config or self.Config()

    def recognises(self, path: Path) -> bool:
        """By the name, and by its beginning: other evaluations of SAEBench have such names too."""
        return _file(path) is not None

    def write(self, parts: Sequence[ExportPart], folder: Path) -> tuple[str, ...]:
        """Latents without an explanation or without a score are left out. Raises ConfigError where none has both."""
        (part,) = parts
        name = self._score_name(part)
        rows: dict[str, dict[str, Any]] = {}
        for latent, said in part.explained.items():
            score = part.scored.get(latent, {}).get(name)
            if said.text is not None and score is not None and score.value is not None:
                rows[str(latent)] = {"latent": latent, "explanation": said.text, "score": score.value, "logs": ""}
        if not rows:
            raise ConfigError(f'{part.key} has no latent with both an explanation and the score "{name}".')
        sae_id = (self.config.sae_id or part.key).replace("/", "_")
        plain = self._result(part, name, rows, sae_id)
        write_atomic(folder / f"{self.config.release}_{sae_id}{_SUFFIX}", json.dumps(plain, ensure_ascii=False, indent=2))
        n_without = len(part.numbers) - len(rows)
        lost = [f"{n_without:,} latents without an explanation or without that score"] if n_without else []
        return (*lost, "other scores than one, and which windows were judged how")

    def read(self, path: Path) -> Notes:
        """Explanations, and SAEBench's score of each as `autointerp_score`."""
        file = _file(path)
        if file is None:
            raise ForeignError(f"{path} holds no autointerp result of SAEBench")
        rows = as_object(read_json_object(file).get("eval_result_unstructured"), where=f"eval_result_unstructured of {file}")
        said: list[Explanation] = []
        scores: list[Score] = []
        for key, value in rows.items():
            latent = as_latent(key, where=str(file))
            where = f"latent {latent} of {file}"
            row = as_object(value, where=where)
            said.append(_explanation(row, latent, where=where))
            if row.get("score") is not None:
                scores.append(Score(latent=latent, name=_SCORE, value=as_number(row["score"], where=f"score of {where}")))
        definitions = {_SCORE: _DEFINITION} if scores else {}
        return Notes(
            explanations=tuple(said), scores=tuple(scores), definitions=definitions, lost=("logs of the questions asked",)
        )

    def _score_name(self, part: ExportPart) -> str:
        if part.scores is None:
            raise ConfigError(f"{part.key} has no scores, which this file is about.\n  Make some with:  monoseme score")
        names = part.scores.artifact.config["definitions"]
        name = self.config.score or part.headline or ""
        if name not in names:
            raise ConfigError(f'there is no score "{name}".{suggest(name, names)}\n  There are: {", ".join(names)}')
        return name

    def _result(self, part: ExportPart, name: str, rows: dict[str, dict[str, Any]], sae_id: str) -> dict[str, Any]:
        scores = [row["score"] for row in rows.values()]
        spread = statistics.stdev(scores) if len(scores) > 1 else -1.0
        label = part.scores.label if part.scores else ""
        made = f"{part.latents.content_hash}/{label}/{name}"
        return {
            "eval_type_id": "autointerp",
            "eval_config": {"model_name": self.config.model_name, "n_latents": len(rows), "score": name, "scores": label},
            "eval_id": str(uuid.uuid5(uuid.NAMESPACE_OID, made)),
            "datetime_epoch_millis": 0,
            "eval_result_metrics": {"autointerp": {_SCORE: math.fsum(scores) / len(scores), "autointerp_std_dev": spread}},
            "eval_result_details": [],
            "sae_bench_commit_hash": "monoseme",
            "sae_lens_id": sae_id,
            "sae_lens_release_id": self.config.release,
            "sae_lens_version": None,
            "sae_cfg_dict": None,
            "eval_result_unstructured": rows,
        }


def _explanation(row: dict[str, Any], latent: int, *, where: str) -> Explanation:
    text = as_text(row.get("explanation"), where=f"explanation of {where}")
    judged = {"predictions": row.get("predictions"), "correct": row.get("correct seqs")}
    kept = {
        name: [as_latent(i, where=f"{name} of {where}") for i in seqs] for name, seqs in judged.items() if isinstance(seqs, list)
    }
    return Explanation(latent=latent, text=text, details=details_text(kept))


def _file(path: Path) -> Path | None:
    """The result at a path, or the only one in a folder."""
    if path.is_dir():
        found = [file for file in sorted(path.glob(f"*{_SUFFIX}")) if _file(file) is not None]
        return found[0] if len(found) == 1 else None
    if not path.is_file() or path.suffix != ".json":
        return None
    with path.open("rb") as file:
        start = file.read(_PEEK)
    if b'"eval_type_id"' in start:
        return path if b'"autointerp"' in start else None
    # a file whose keys are sorted may name its kind after a long config
    return path if path.name.endswith(_SUFFIX) and b'"autointerp"' in read_bytes(path) else None
