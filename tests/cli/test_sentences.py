"""`monoseme sentences` writes what a corpus of sentences reads back."""

import json
from pathlib import Path

import pytest

from monoseme.cli.main import main
from monoseme.text import CorpusConfig, read_documents


@pytest.fixture
def books(tmp_path: Path) -> Path:
    """Two texts of three and one sentences."""
    path = tmp_path / "books.jsonl"
    texts = ["It rained. Mr. Fox slept. Nobody came.", "The end."]
    path.write_text("".join(json.dumps({"text": text, "author": name}) + "\n" for text, name in zip(texts, "xy", strict=True)))
    return path


def test_sentences_are_written_and_read_back(books: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "sentences.parquet"
    words = ["sentences", "--corpus", str(books), "--corpus.group_field", "author", "--out", str(out), "--json"]
    assert main(words) == 0
    told = json.loads(capsys.readouterr().out)
    assert told == {"path": str(out), "n_sentences": 4, "n_documents": 2, "n_bytes": out.stat().st_size}
    found = list(read_documents(CorpusConfig(source=str(out))))
    assert [d.text for d in found] == ["It rained.", "Mr. Fox slept.", "Nobody came.", "The end."]
    assert [d.source for d in found] == ["x", "x", "x", "y"]


def test_a_person_is_told_what_to_type_next(books: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "a few.parquet"
    assert main(["sentences", "--corpus", str(books), "--max_sentences", "2", "--out", str(out)]) == 0
    assert f"--corpus '{out}'" in capsys.readouterr().out


def test_a_corpus_that_is_not_there_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sentences", "--corpus", str(tmp_path / "no.jsonl"), "--out", str(tmp_path / "s.parquet")]) == 2
    assert "no file or folder" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
