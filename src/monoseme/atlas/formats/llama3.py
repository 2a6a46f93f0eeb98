"""llama3_interpretability_sae's YAML: best sentences, answers of its judge, and the meanings made of them.

    top_sentences_{mean,max,last}.yaml     {latent: [[value, sentence], ...]}, the best last, of at most 100
    responses/BATCH.yaml                   {latent: {content, model, input_tokens, output_tokens}} or {latent: {canceled: true}}
    latent_index_meaning.yaml              {latent: {common_semantic, certainty}}

A sentence is its number in the data set. Who writes and reads it: Paul Pauls' llama3_interpretability_sae (2024). An answer ends
with a JSON object that has exactly `common_semantic` and `certainty` in [0, 1]; one that does not is a failure. An answer that is
written is what the atlas keeps of it: all that was said beside the meaning, then that object.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import yaml

from monoseme.atlas.formats._base import AtlasFormat
from monoseme.atlas.formats._notes import Notes
from monoseme.atlas.formats._part import ExportPart
from monoseme.atlas.formats._writing import details_text
from monoseme.atlas.said import Explanation
from monoseme.atlas.sentences.reader import Sentences
from monoseme.atlas.sentences.values import AGGREGATIONS
from monoseme.core.errors import ConfigError, ForeignError
from monoseme.core.foreign import as_latent, as_list, as_number, as_object, as_text, read_yaml

_MEANINGS = "latent_index_meaning.yaml"
_TOP = "top_sentences_{}.yaml"
_ANSWERS = "answers.yaml"
_MOST_BRACES = 100
_FIELDS = {"common_semantic", "certainty"}


class Llama3(AtlasFormat):
    """Meanings of latents by their best sentences."""

    looks_for: ClassVar[str] = f"{_MEANINGS}, or another .yaml of answers"

    @dataclass(frozen=True, kw_only=True)
    class Config(AtlasFormat.Config):
        """What is left out."""

        least_certainty: float = 0.0
        """Meanings that are less certain are left out, in [0, 1]."""

        def __post_init__(self) -> None:
            if not 0.0 <= self.least_certainty <= 1.0:
                raise ConfigError(f"least_certainty is {self.least_certainty}, but must be between 0 and 1.")

    def __init__(self, config: Config | None = None) -> None:
        super().__init__(config)
        self.config = config or self.Config()

    def recognises(self, path: Path) -> bool:
        """By the ending of the file, or of files in the folder."""
        return bool(_files(path))

    def write(self, parts: Sequence[ExportPart], folder: Path) -> tuple[str, ...]:
        """What there is of meanings and of sentences. Raises ConfigError where there is neither."""
        (part,) = parts
        lost: list[str] = []
        meanings = {latent: _meaning(said) for latent, said in sorted(part.explained.items()) if said.text is not None}
        certain = {
            latent: meaning
            for latent, meaning in meanings.items()
            if meaning is not None and meaning["certainty"] >= self.config.least_certainty
        }
        if len(certain) < len(meanings):
            lost.append(f"{len(meanings) - len(certain):,} explanations without a certainty, or a lower one than asked for")
        if certain:
            _write(folder / _MEANINGS, certain)
            (folder / "responses").mkdir()
            _write(folder / "responses" / _ANSWERS, _answers(part, certain))
        sentences = part.sentences()
        if sentences is not None:
            for aggregation in AGGREGATIONS:
                _write(folder / _TOP.format(aggregation), _top(sentences, part.numbers, aggregation))
        if not certain and sentences is None:
            raise ConfigError(
                f"{part.key} has no explanation with a certainty, and no ranked sentences.\n"
                "  Make some with:  monoseme explain --explainer llm_sentences"
            )
        return (*lost, "answers of the judge word by word, and their tokens: an explanation keeps what they say")

    def read(self, path: Path) -> Notes:
        """Meanings, or what answers say where there are no meanings. Files tell what they are by what they hold."""
        meanings: dict[int, Explanation] = {}
        answers: dict[int, Explanation] = {}
        lost: list[str] = []
        for file in _files(path):
            table = read_yaml(file)
            rows = {as_latent(key, where=str(file)): row for key, row in as_object(table, where=str(file)).items()}
            if not rows or all(isinstance(row, list) for row in rows.values()):
                lost.append(f"{file.name}: best sentences, which are numbers of another data set; see read_top_sentences")
                continue
            for latent, row in rows.items():
                where = f"latent {latent} of {file}"
                found = as_object(row, where=where)
                if found.keys() == _FIELDS:
                    meanings[latent] = _said(found, latent, where=where)
                else:
                    answers[latent] = _answer(found, latent, where=where)
        n_failed = sum(one.text is None for one in answers.values())
        if n_failed:
            lost.append(f"{n_failed:,} answers without a meaning that can be used; they say why")
        said = {**answers, **meanings}
        kept = [one for one in said.values() if one.text is None or _certainty(one) >= self.config.least_certainty]
        if len(kept) < len(said):
            lost.append(f"{len(said) - len(kept):,} meanings that are less certain than asked for")
        return Notes(explanations=tuple(sorted(kept, key=lambda one: one.latent)), lost=tuple(lost))


def read_top_sentences(path: Path) -> dict[int, list[tuple[float, int]]]:
    """(value, number of the sentence in the data set) of each latent's best sentences, the best last. Raises ForeignError."""
    found: dict[int, list[tuple[float, int]]] = {}
    for key, rows in as_object(read_yaml(path), where=str(path)).items():
        where = f"latent {key} of {path}"
        pairs = [as_list(row, where=where) for row in as_list(rows, where=where)]
        if any(len(pair) != 2 for pair in pairs):
            raise ForeignError(f"{where} should hold pairs of a value and a sentence")
        found[as_latent(key, where=str(path))] = [
            (as_number(value, where=where), as_latent(sentence, where=where)) for value, sentence in pairs
        ]
    return found


def _top(sentences: Sentences, latents: Sequence[int], aggregation: str) -> dict[int, list[list[float | int]]]:
    rows = {latent: sentences.best(latent, aggregation) for latent in latents}
    return {latent: [[one.value, one.document] for one in reversed(best)] for latent, best in rows.items() if best}


def _meaning(said: Explanation) -> dict[str, Any] | None:
    """Meaning and certainty; None for an explanation that tells no certainty."""
    certainty = json.loads(said.details).get("certainty")
    if isinstance(certainty, bool) or not isinstance(certainty, int | float) or not 0.0 <= certainty <= 1.0:
        return None
    return {"common_semantic": said.text, "certainty": float(certainty)}


def _answers(part: ExportPart, meanings: Mapping[int, Mapping[str, Any]]) -> dict[int, dict[str, Any]]:
    """Answers from which the original's parser reads the meanings again; with the judge's model where the annotation names it."""
    judge = part.explanations.artifact.config.get("judge") if part.explanations else None
    model = judge.get("model") if isinstance(judge, dict) else None
    found: dict[int, dict[str, Any]] = {}
    for latent, meaning in meanings.items():
        beside = {name: value for name, value in json.loads(part.explained[latent].details).items() if name != "certainty"}
        lines = [f"{name}: {_words(value)}" for name, value in beside.items() if value]
        content = "\n".join([*lines, json.dumps(meaning, ensure_ascii=False)])
        found[latent] = {"content": content} | ({} if model is None else {"model": str(model)})
    return found


def _words(value: Any) -> str:
    """A value in words, without the braces by which the meaning at the end is found."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text.replace("{", "(").replace("}", ")")


def _certainty(said: Explanation) -> float:
    meaning = _meaning(said)
    return 0.0 if meaning is None else meaning["certainty"]


def _said(row: Mapping[str, Any], latent: int, *, where: str) -> Explanation:
    text = as_text(row["common_semantic"], where=f"common_semantic of {where}")
    certainty = as_number(row["certainty"], where=f"certainty of {where}")
    if not text or not 0.0 <= certainty <= 1.0:
        raise ForeignError(f"{where} should have a meaning, and a certainty between 0 and 1, but has {text[:60]!r}, {certainty}")
    return Explanation(latent=latent, text=text, details=details_text({"certainty": certainty}))


def _answer(row: Mapping[str, Any], latent: int, *, where: str) -> Explanation:
    """What an answer says, or why it says nothing: here a failure is one latent's, not the file's."""
    content = row.get("content")
    if not isinstance(content, str):
        return Explanation(latent=latent, text=None, why_missing="canceled" if "canceled" in row else "no answer")
    found = _last_meaning(content)
    if found is None:
        return Explanation(latent=latent, text=None, why_missing="the answer does not end with a meaning and its certainty")
    try:
        return _said(found, latent, where=where)
    except ForeignError as error:
        return Explanation(latent=latent, text=None, why_missing=str(error).splitlines()[0])


def _last_meaning(content: str) -> dict[str, Any] | None:
    """The last JSON object with exactly the two fields; unlike the original's, its texts may hold braces."""
    decoder = json.JSONDecoder()
    begins = [match.start() for match in re.finditer(r"\{", content)]
    for begin in reversed(begins[-_MOST_BRACES:]):
        try:
            found = decoder.raw_decode(content, begin)[0]
        except (ValueError, RecursionError):
            continue
        if found.keys() == _FIELDS:
            return found
    return None


def _files(path: Path) -> list[Path]:
    if path.is_file():
        return [path] if path.suffix in (".yaml", ".yml") else []
    found = [*path.iterdir(), *path.glob("*responses/*")] if path.is_dir() else []
    return sorted(file for file in found if file.suffix in (".yaml", ".yml") and file.is_file())


def _write(path: Path, table: Mapping[int, Any]) -> None:
    """A latent at a time: PyYAML holds all it writes as objects of its own, many times the size of the file."""
    with path.open("w", encoding="utf-8") as file:
        for latent, row in table.items():
            yaml.safe_dump({latent: row}, file, allow_unicode=True, default_flow_style=None)
