"""Questions about attributes of entities: from a table or RAVEL's own files, as prompts that a model reads, and what it knows.

A table (jsonl, csv, parquet, or a hub dataset) has the columns `template`, in which %s stands for the entity, `entity`,
`attribute` and `answer`. RAVEL's own files are a folder with `ravel_KIND_entity_attributes.json` and
`ravel_KIND_attribute_to_prompts.json`.

Source: Huang et al. 2024 (RAVEL), arXiv:2402.17700.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from monoseme.core.display import get_display
from monoseme.core.errors import CorpusError, EmptyCorpusError, ModelError
from monoseme.core.files import read_json, write_json
from monoseme.models import LanguageModel
from monoseme.studies._kept_files import reading
from monoseme.text import CorpusConfig
from monoseme.text.documents import rows_of
from monoseme.text.rows import BadRow

_COLUMNS = ("entity", "attribute", "answer")
_ENTITIES, _PROMPTS = "ravel_{kind}_entity_attributes.json", "ravel_{kind}_attribute_to_prompts.json"


class Question(NamedTuple):
    """What is asked of one entity."""

    template: str
    """With one %s, where the entity stands."""
    entity: str
    attribute: str
    answer: str

    @property
    def text(self) -> str:
        """The prompt."""
        return self.template.replace("%s", self.entity)


class Known(NamedTuple):
    """A question that the model answers rightly."""

    question: Question
    ids: list[int]
    """The prompt's tokens."""
    position: int
    """Of the entity's last token in them."""
    first_token: int
    """With which the model's own answer begins."""


def read_questions(source: str, *, kind: str | None, split: str) -> list[Question]:
    """All of a table, or of RAVEL's own files in a folder, of which `kind` says which (city, nobel_prize_winner, ...).

    Raises CorpusError for what cannot be read and for a row that is no question, EmptyCorpusError where there is none.
    """
    if kind is not None:
        found = list(_of_folder(Path(source).expanduser(), kind))
    else:
        corpus = CorpusConfig(source=source, split=split, field="template", label_fields=_COLUMNS, streaming=False)
        found = [_of_row(row) for row in rows_of(corpus)]
    if not found:
        raise EmptyCorpusError(f"{source} holds no questions.\n  A row needs the columns template, {', '.join(_COLUMNS)}.")
    return found


def _of_row(row: Any) -> Question:
    if isinstance(row, BadRow):
        raise CorpusError(
            f"{row.file}, row {row.number} is no question: {row.why}.\n  A row needs the columns template, {', '.join(_COLUMNS)}."
        )
    fields: Mapping[str, Any] = row.fields
    values = [str(fields.get(name) or "") for name in ("template", *_COLUMNS)]
    if not all(values) or values[0].count("%s") != 1:
        raise CorpusError(
            f"{row.file}, row {row.number} is no question.\n  It needs the columns template, with one %s, {', '.join(_COLUMNS)}."
        )
    return Question(*values)


def _of_folder(folder: Path, kind: str) -> Iterator[Question]:
    files = [folder / name.format(kind=kind) for name in (_ENTITIES, _PROMPTS)]
    if missing := [str(file) for file in files if not file.is_file()]:
        raise CorpusError(f"{' and '.join(missing)} cannot be found.\n  Give RAVEL's folder of data, or a table without --kind.")
    entities, prompts = (read_json(file) for file in files)
    if not all(isinstance(each, dict) for each in (entities, prompts)) or not _are(entities, dict) or not _are(prompts, list):
        raise CorpusError(
            f"{' and '.join(map(str, files))} are not RAVEL's.\n"
            "  They hold entity -> {attribute: value}, and attribute -> [template with one %s]."
        )
    for entity, attributes in entities.items():
        for attribute, templates in prompts.items():
            for template in templates:
                if template.count("%s") == 1 and attributes.get(attribute):
                    yield Question(template, entity, attribute, str(attributes[attribute]))


def _are(table: Mapping[str, Any], kind: type) -> bool:
    return all(isinstance(value, kind) for value in table.values())


def is_answer(text: str, answer: str) -> bool:
    """Whether the text begins with the answer, spaces before it and capitals aside."""
    return text.strip().lower().startswith(answer.strip().lower())


def known_questions(model: LanguageModel, questions: Sequence[Question], *, max_new_tokens: int, batch_size: int) -> list[Known]:
    """Those that the model goes on from with the right answer. Raises ModelError for a tokenizer without offsets."""
    if not model.tokenizer.is_fast:
        raise ModelError(f"the tokenizer of {model.config.model} does not say where its tokens lie in a text.")
    found: list[Known] = []
    with get_display().progress("what the model knows", total=len(questions), unit="questions") as progress:
        for start in range(0, len(questions), batch_size):
            batch = questions[start : start + batch_size]
            laid = [_tokens(model, question) for question in batch]
            told = model.generate([ids for ids, _ in laid], max_new_tokens=max_new_tokens)
            for question, (ids, position), answer in zip(batch, laid, told, strict=True):
                if is_answer(answer.text, question.answer):
                    found.append(Known(question, ids, position, answer.token_ids[0]))
            progress.advance(len(batch))
    return found


def _tokens(model: LanguageModel, question: Question) -> tuple[list[int], int]:
    """The prompt's tokens, and the position of the one that holds the entity's last character."""
    encoded = model.tokenizer(question.text, return_offsets_mapping=True, verbose=False)
    last = question.template.index("%s") + len(question.entity) - 1
    spans: list[tuple[int, int]] = encoded["offset_mapping"]
    return list(encoded["input_ids"]), next(i for i, (start, end) in enumerate(spans) if start <= last < end)


def write_known(file: Path, known: Sequence[Known]) -> None:
    """Keeps what the model knows for a resume. Raises DiskFullError."""
    write_json(file, [each._asdict() | {"question": each.question._asdict()} for each in known])


def read_known(file: Path) -> list[Known]:
    """What `write_known` kept. Raises ArtifactDamagedError."""
    with reading(file):
        rows: list[dict[str, Any]] = read_json(file)
        return [Known(Question(**row["question"]), row["ids"], row["position"], row["first_token"]) for row in rows]
