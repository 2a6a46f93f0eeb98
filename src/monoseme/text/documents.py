"""Documents of a corpus, whatever it is stored as: the one way in for text."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from monoseme.core.config import suggest
from monoseme.core.display import get_display
from monoseme.core.errors import BadRowError, CorpusError, EmptyCorpusError
from monoseme.text.bundled import is_bundled, read_bundled
from monoseme.text.chat import turns_of
from monoseme.text.config import CorpusConfig
from monoseme.text.document import MAX_PLACES_TOLD, CorpusFacts, Document
from monoseme.text.hub import is_saved_dataset, read_hub, read_saved
from monoseme.text.rows import BadRow, Row, is_text_file, known_endings, read_rows
from monoseme.text.sentences import ROWS_PER_SOURCE, SplitterError, cut_document, with_sentences

_HUB_ID = re.compile(r"[\w.-]+(/[\w.-]+)?")


def read_documents(config: CorpusConfig, facts: CorpusFacts | None = None) -> Iterator[Document]:
    """The documents of the corpus in its own order; folders in the order of their files' names.

    Broken rows are skipped, counted in `facts` and told with their line number; rows without text are skipped and counted.

    Raises BadRowError at the first broken row under `strict`, EmptyCorpusError if no document is found, CorpusError if the
    corpus cannot be opened, ConfigError for a column it does not have.
    """
    facts = facts or CorpusFacts()
    config = with_sentences(config)
    n_documents = 0
    for row in rows_of(config):
        facts.n_rows += 1
        found = _document(row, config, row_number=facts.n_rows - 1) if isinstance(row, Row) else row
        if isinstance(found, BadRow):
            _tell(found, config, facts)
        elif not found.text and not found.turns:
            facts.n_empty += 1
        else:
            parts = _parts(found, row, config)
            if isinstance(parts, BadRow):
                _tell(parts, config, facts)
                continue
            n_documents += len(parts)
            yield from parts
    if facts.n_bad > MAX_PLACES_TOLD:
        get_display().warn(f"{config.source}: {facts.n_bad:,} of {facts.n_rows:,} rows are broken and were skipped")
    if not n_documents:
        raise EmptyCorpusError(_why_empty(config, facts))


def rows_of(config: CorpusConfig) -> Iterator[Row | BadRow]:
    """The rows of the corpus as they are, for what is more than text and labels. Raises CorpusError, EmptyCorpusError."""
    if is_bundled(config.source):
        return read_bundled(config)
    path = Path(config.source).expanduser()
    if path.is_dir():
        return read_saved(path, config) if is_saved_dataset(path) else _folder(path, config)
    if path.exists():
        return read_rows(path, config, name=path.name)
    if _HUB_ID.fullmatch(config.source) and not is_text_file(path):
        return read_hub(config)
    told = f'no file or folder {config.source}.\n  Give a path, a hub dataset id, or "bundled".'
    if "/" not in config.source:  # what a push leaves of a path
        told += " Was it a text on the machine where SAEs were made?\n  Then name one here: eval and scan take  --corpus TEXT"
        told += "   (monoseme.evaluate and monoseme.scan: corpus=)"
    raise CorpusError(told)


def _folder(folder: Path, config: CorpusConfig) -> Iterator[Row | BadRow]:
    files = sorted(
        (path.relative_to(folder).as_posix(), path) for path in folder.rglob("*") if path.is_file() and is_text_file(path)
    )
    shown = [(name, path) for name, path in files if not any(part.startswith(".") for part in name.split("/"))]
    if not shown:
        raise EmptyCorpusError(f"{folder} holds no text files.\n  Allowed endings: {known_endings()}")
    for name, path in shown:
        for row in read_rows(path, config, name=name):
            yield row._replace(fields={**row.fields, "file": name}) if isinstance(row, Row) else row


def _document(row: Row, config: CorpusConfig, *, row_number: int) -> Document | BadRow:
    value = row.fields.get(config.field)
    if value is None:
        present = [str(key) for key in row.fields]
        return BadRow(row.file, row.number, f'no text in "{config.field}" (has {", ".join(present)})')
    source = _source(row, config)
    if config.group_field is not None:
        if row.fields.get(config.group_field) is None:
            return BadRow(row.file, row.number, f'no source in "{config.group_field}"')
        source = str(row.fields[config.group_field])
    if config.chat != "none":
        turns = turns_of(value, config.chat)
        if isinstance(turns, str):
            return BadRow(row.file, row.number, turns)
        return Document("", source, _labels(row.fields, config), row_number, turns)
    if not isinstance(value, str):
        return BadRow(row.file, row.number, f'"{config.field}" holds {type(value).__name__}, not text')
    if not _is_unicode(value):
        return BadRow(row.file, row.number, "holds bytes that are not UTF-8, or half of a surrogate pair")
    return Document(value if value.strip() else "", source, _labels(row.fields, config), row_number)


def _source(row: Row, config: CorpusConfig) -> str:
    if not row.own_source:
        return row.file
    number = row.number if config.sentences != "given" else (row.number - 1) // ROWS_PER_SOURCE
    return f"{row.file}:{number}"


def _parts(document: Document, row: Row | BadRow, config: CorpusConfig) -> list[Document] | BadRow:
    """The document, or its sentences."""
    if config.sentences != "cut":
        return [document]
    try:
        return list(cut_document(document, language=config.language))
    except SplitterError as error:
        return BadRow(row.file, row.number, str(error))


def _is_unicode(text: str) -> bool:
    """Whether the tokenizer can take it: JSON may spell lone surrogates, which no encoding has."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _labels(fields: Mapping[str, Any], config: CorpusConfig) -> dict[str, str]:
    ours = ("domain",) if is_bundled(config.source) else ("file",) if Path(config.source).is_dir() else ()
    return {name: str(fields[name]) for name in (*ours, *config.label_fields) if fields.get(name) is not None}


def _tell(row: BadRow, config: CorpusConfig, facts: CorpusFacts) -> None:
    place = f"{row.file}, line {row.number}: {row.why}"
    if config.strict:
        raise BadRowError(f"{place}\n  Mend the row, or leave out strict to skip it.")
    facts.n_bad += 1
    if len(facts.bad_places) < MAX_PLACES_TOLD:
        facts.bad_places.append(place)
        get_display().warn(f"skipped {place}")


def _why_empty(config: CorpusConfig, facts: CorpusFacts) -> str:
    why = f'"{config.source}" holds no documents: {facts.n_rows} rows, {facts.n_bad} broken, {facts.n_empty} without text'
    if facts.bad_places:
        present = facts.bad_places[0].partition("(has ")[2].rstrip(")").split(", ")
        why += f"\n  First: {facts.bad_places[0]}.{suggest(config.field, present)}"
    return why
