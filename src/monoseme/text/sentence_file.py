"""A corpus of sentences as a Parquet file, in the order of the text; read back, it gives the same sentences.

| column | type | |
|---|---|---|
| text | string | the sentence, without the space around it |
| source | string | what it comes from; sources stay whole in the held-out split |
| row | int64 | row of the corpus, from 0, broken ones counted |
| sentence | int64 | number of the sentence in its row, from 0 |
| start, stop | int64 | characters [start, stop) of the row's text |
| a label | string | for each of the corpus's labels, null where a row has none |

Written by `monoseme sentences`, read as any corpus, and known by the key "monoseme.sentences" in its metadata.
"""

import json
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from monoseme.core.config import to_dict
from monoseme.core.display import get_display
from monoseme.core.errors import BadRowError, ConfigError
from monoseme.core.files import guard_disk
from monoseme.text.config import CorpusConfig
from monoseme.text.document import CorpusFacts, Document
from monoseme.text.documents import read_documents
from monoseme.text.sentences import MARK, SplitterError, sentence_spans

_GROUP = 1 << 16
"""Sentences of a row group: some 8 MB of text, held in memory once."""
_COLUMNS = ("text", "source", "row", "sentence", "start", "stop")


class SentenceFile(NamedTuple):
    """What was written."""

    path: Path
    n_sentences: int
    n_documents: int
    """Documents they were cut from."""
    n_bytes: int


def write_sentences(corpus: CorpusConfig, path: Path, *, max_sentences: int | None = None) -> SentenceFile:
    """Cuts the texts of a corpus into sentences and writes them at `path`, whole or not at all, in constant memory.

    `corpus.sentences` may be left at auto. `max_sentences` ends the file early (None: the whole corpus). A file that is there is
    replaced. There is nothing to resume: cutting and writing keep up with most disks, at some megabytes a second.

    Raises what `read_documents` raises, ConfigError for a path without the ending .parquet or a corpus of conversations,
    DiskFullError.
    """
    if path.suffix != ".parquet":
        raise ConfigError(f"{path} does not end in .parquet, which is what sentences are written as")
    if max_sentences is not None and max_sentences < 1:
        raise ConfigError(f"max_sentences is {max_sentences}; it must be at least 1")
    if corpus.sentences == "given":
        raise ConfigError('sentences are "given": this corpus is one of sentences already.\n  Leave corpus.sentences out.')
    asked = replace(corpus, sentences="cut")
    draft = path.with_name(f".{path.name}.draft")
    with guard_disk(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            n_documents, n_sentences = _write(asked, draft, max_sentences)
            n_bytes = draft.stat().st_size
            draft.replace(path)
        finally:
            draft.unlink(missing_ok=True)
    return SentenceFile(path, n_sentences, n_documents, n_bytes)


def _write(corpus: CorpusConfig, draft: Path, most: int | None) -> tuple[int, int]:
    import pyarrow
    import pyarrow.parquet

    counts = [0, 0]
    rows = islice(_sentences(corpus, counts), most)
    labels = [name for name in _labels(corpus) if name not in _COLUMNS]
    strings, numbers = ("text", "source"), ("row", "sentence", "start", "stop")
    fields = [*((name, pyarrow.string()) for name in strings), *((name, pyarrow.int64()) for name in numbers)]
    schema = pyarrow.schema([*fields, *((name, pyarrow.string()) for name in labels)], metadata={MARK: _mark(corpus)})
    with (
        get_display().progress("sentences", total=most, unit="sentences") as progress,
        pyarrow.parquet.ParquetWriter(draft, schema, compression="zstd") as file,
    ):
        while group := list(islice(rows, _GROUP)):
            file.write_table(pyarrow.Table.from_pylist(group, schema=schema))
            counts[1] += len(group)
            progress.advance(len(group))
    return counts[0], counts[1]


def _sentences(corpus: CorpusConfig, counts: list[int]) -> Iterator[dict[str, Any]]:
    """A row of the table for each sentence; counts[0] becomes the number of documents."""
    facts = CorpusFacts()
    for document in read_documents(replace(corpus, sentences="none", language=None), facts):
        try:
            spans = sentence_spans(document.text, language=corpus.language)
        except SplitterError as error:
            _tell(document, corpus, error)
            continue
        counts[0] += 1
        for number, (start, stop) in enumerate(spans):
            text = document.text[start:stop]
            place = {"row": document.row, "sentence": number, "start": start, "stop": stop}
            yield {**document.labels, "text": text, "source": document.source, **place}


def _tell(document: Document, corpus: CorpusConfig, error: SplitterError) -> None:
    place = f"{document.source}: {error}"
    if corpus.strict:
        raise BadRowError(f"{place}\n  Mend the row, or leave out strict to skip it.") from error
    get_display().warn(f"skipped {place}")


def _labels(corpus: CorpusConfig) -> list[str]:
    """The labels that documents of the corpus may have."""
    ours = ["domain"] if corpus.source.startswith("bundled") else ["file"] if Path(corpus.source).is_dir() else []
    return [*ours, *corpus.label_fields]


def _mark(corpus: CorpusConfig) -> bytes:
    return json.dumps({"corpus": to_dict(corpus)}, sort_keys=True).encode()
