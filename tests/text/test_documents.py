"""Corpora of every form give the same documents; what is broken is skipped, counted and told."""

import bz2
import gzip
import json
import lzma
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest
import zstandard

from monoseme.core.errors import BadRowError, ConfigError, CorpusError, EmptyCorpusError
from monoseme.text import CorpusConfig, CorpusFacts, Document, read_documents

ROWS = [
    {"text": 'He said "a, b"\nand left.', "author": "Ada", "year": 1851},
    {"text": "one\x85line\u2028still", "author": "Bob", "year": 1852},
    {"text": "café", "author": "Ada", "year": 1853},
]
TEXTS = [str(row["text"]) for row in ROWS]


def _read(path: Path | str, **settings: Any) -> list[Document]:
    return list(read_documents(CorpusConfig(source=str(path), **settings)))


def _jsonl() -> bytes:
    return b"\n".join(json.dumps(row, ensure_ascii=False).encode() for row in ROWS) + b"\n"


_COMPRESSIONS: dict[str, Callable[[bytes], bytes]] = {
    "": bytes,
    ".gz": gzip.compress,
    ".zst": lambda data: zstandard.compress(data[:31]) + zstandard.compress(data[31:]),  # two frames, as pzstd writes
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
}


@pytest.mark.parametrize("ending", list(_COMPRESSIONS))
def test_jsonl_rows_end_at_newlines_only(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"rows.jsonl{ending}"
    path.write_bytes(_COMPRESSIONS[ending](_jsonl()))
    assert [document.text for document in _read(path)] == TEXTS


def test_a_json_list_and_json_lines_in_a_json_file(tmp_path: Path) -> None:
    whole, lines, bare = tmp_path / "whole.json", tmp_path / "lines.json", tmp_path / "bare.json"
    whole.write_text(json.dumps(ROWS, indent=1))
    lines.write_bytes(_jsonl())
    bare.write_text(json.dumps(TEXTS))
    assert [[d.text for d in _read(path)] for path in (whole, lines, bare)] == [TEXTS] * 3


@pytest.mark.parametrize("ending", ["", ".gz"])
def test_csv_quotes_hold_commas_and_newlines(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"rows.csv{ending}"
    path.write_bytes(_COMPRESSIONS[ending]('﻿author,text\nAda,"He said ""a, b""\nand left."\nBob,plain\n'.encode()))
    assert [d.text for d in _read(path)] == ['He said "a, b"\nand left.', "plain"]


def test_csv_without_header_and_with_a_long_text(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text(f'"3","{"word " * 40_000}"\n"4","short"\n')
    documents = _read(path, columns=("class", "text"), label_fields=("class",))
    assert [len(d.text) for d in documents] == [200_000, 5]
    assert [d.labels for d in documents] == [{"class": "3"}, {"class": "4"}]


def test_a_csv_row_with_too_few_columns_is_told(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("author,text\nAda\nBob,fine\n")
    with pytest.warns(UserWarning, match="rows.csv, line 2: 1 columns instead of 2"):
        assert [d.text for d in _read(path)] == ["fine"]


def test_tsv_has_no_quoting(tmp_path: Path) -> None:
    path = tmp_path / "rows.tsv"
    path.write_text('text\tlabel\n"an opening quote\t1\nnext\t0\n')
    assert [d.text for d in _read(path)] == ['"an opening quote', "next"]


@pytest.mark.parametrize("ending", ["", ".zst"])
def test_parquet(tmp_path: Path, ending: str) -> None:
    plain = tmp_path / "plain.parquet"
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(ROWS), plain)
    path = tmp_path / f"rows.parquet{ending}"
    path.write_bytes(_COMPRESSIONS[".zst"](plain.read_bytes()) if ending else plain.read_bytes())
    documents = _read(path, label_fields=("year",))
    assert [d.text for d in documents] == TEXTS
    assert documents[0].labels == {"year": "1851"}


def test_a_table_without_the_field_says_which_it_has(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(ROWS), path)
    with pytest.raises(ConfigError, match=r'no column "txt".*Did you mean "text"'):
        _read(path, field="txt")


def test_a_dataset_saved_to_disk(tmp_path: Path) -> None:
    import datasets

    table = datasets.Dataset.from_list(ROWS)
    table.save_to_disk(str(tmp_path / "one"))
    datasets.DatasetDict({"train": table, "test": table.select([1])}).save_to_disk(str(tmp_path / "many"))
    assert [d.text for d in _read(tmp_path / "one", group_field="author")] == TEXTS
    assert [d.text for d in _read(tmp_path / "many", split="test")] == TEXTS[1:2]
    with pytest.raises(ConfigError, match=r'no split "tets".*Did you mean "test"'):
        _read(tmp_path / "many", split="tets")


def test_txt_is_one_source_or_one_for_each_separated_document(tmp_path: Path) -> None:
    path = tmp_path / "story.txt"
    path.write_bytes(b"one\x0cpage\n<|end|>two\xc2\x85 still two<|end|>\n")
    whole, parts = _read(path), _read(path, separator="<|end|>")
    assert [d.text for d in whole] == ["one\x0cpage\n<|end|>two\x85 still two<|end|>\n"]
    assert [(d.text, d.source) for d in parts] == [("one\x0cpage\n", "story.txt:1"), ("two\x85 still two", "story.txt:2")]


def test_a_long_txt_is_read_in_pieces_of_one_source(tmp_path: Path) -> None:
    path = tmp_path / "long.txt"
    text = "".join(f"line {i}\n" for i in range(200_000))
    path.write_text(text)
    pieces = _read(path)
    assert len(pieces) > 1
    assert "".join(d.text for d in pieces) == text
    assert all(d.text.endswith("\n") for d in pieces)
    assert {d.source for d in pieces} == {"long.txt"}


def test_a_folder_is_read_by_name_and_labels_the_file(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / ".hidden").mkdir()
    (tmp_path / "b" / "second.txt").write_text("two")
    (tmp_path / "a.jsonl").write_text('{"text": "one"}\n')
    (tmp_path / ".hidden" / "no.txt").write_text("hidden")
    (tmp_path / "README.md").write_text("not text of the corpus")
    documents = _read(tmp_path)
    assert [(d.text, d.source, d.labels["file"]) for d in documents] == [
        ("one", "a.jsonl:1", "a.jsonl"),
        ("two", "b/second.txt", "b/second.txt"),
    ]


def test_broken_rows_are_skipped_counted_and_told_with_their_line(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(
        b'{"text": "one"}\n{"text": "half\n\n[1]\n{"other": 1}\n{"text": 3}\n'
        b'{"text": "\\ud800"}\n{"text": "\xff"}\n{"text": " "}\n'
    )
    facts = CorpusFacts()
    with pytest.warns(UserWarning, match="rows") as told:
        documents = list(read_documents(CorpusConfig(source=str(path)), facts))
    assert [d.text for d in documents] == ["one"]
    assert (facts.n_rows, facts.n_bad, facts.n_empty) == (8, 6, 1)
    assert "rows.jsonl, line 2: not JSON" in str(told[0].message)
    assert 'rows.jsonl, line 5: no text in "text" (has other)' in str(told[2].message)
    # Five are told one by one, then their number.
    assert len(told) == 6
    assert "6 of 8 rows are broken" in str(told[-1].message)


def test_strict_stops_at_the_first_broken_row(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"text": "one"}\n{"text": "half\n')
    with pytest.raises(BadRowError, match=r"rows\.jsonl, line 2: not JSON"):
        _read(path, strict=True)


def test_an_empty_corpus_says_what_was_found(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"texts": "one"}\n')
    with (
        pytest.warns(UserWarning, match="line 1"),
        pytest.raises(EmptyCorpusError, match=r'1 broken.*(?s:.*)Did you mean "texts"'),
    ):
        _read(path)
    path.write_text("")
    with pytest.raises(EmptyCorpusError, match="0 rows"):
        _read(path)
    (tmp_path / "folder").mkdir()
    with pytest.raises(EmptyCorpusError, match="no text files"):
        _read(tmp_path / "folder")


def test_a_file_cut_short_names_itself(tmp_path: Path) -> None:
    for ending in (".gz", ".xz"):
        path = tmp_path / f"rows.jsonl{ending}"
        path.write_bytes(_COMPRESSIONS[ending](_jsonl() * 500)[:-9])
        with pytest.raises(CorpusError, match=f"rows.jsonl{ending} cannot be read to its end"):
            _read(path)
    path = tmp_path / "rows.parquet"
    path.write_bytes(b"PAR1 not really")
    with pytest.raises(CorpusError, match="not a sound parquet file"):
        _read(path)


def test_a_missing_path_and_an_unknown_ending(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="no file or folder"):
        _read(tmp_path / "none.jsonl")
    with pytest.raises(CorpusError, match="eval and scan take  --corpus TEXT"):
        _read(Path("pulled_texts.jsonl"))
    (tmp_path / "book.pdf").write_text("x")
    with pytest.raises(ConfigError, match=r"no known ending.*(?s:.*)\.jsonl"):
        _read(tmp_path / "book.pdf")


def test_a_hub_id_without_a_network_is_a_clear_error() -> None:
    with pytest.raises(CorpusError, match="neither a file or folder here nor a dataset"):
        _read("nobody/no-such-dataset")


def test_sources_are_rows_or_the_field_that_groups_them(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(_jsonl())
    assert [d.source for d in _read(path)] == ["rows.jsonl:1", "rows.jsonl:2", "rows.jsonl:3"]
    assert [d.source for d in _read(path, group_field="author")] == ["Ada", "Bob", "Ada"]
    assert [d.row for d in _read(path)] == [0, 1, 2]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"context_len": 1}, "context_len is 1"),
        ({"holdout_fraction": 1.0}, "holdout_fraction is 1.0"),
        ({"min_tokens": -1}, "min_tokens is -1"),
        ({"chat_template": "x"}, 'chat_template is set, but chat is "none"'),
        ({"only_roles": ("user",)}, 'only_roles is set, but chat is "none"'),
        ({"separator": ""}, "separator is empty"),
        ({"source": ""}, "source is empty"),
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        CorpusConfig(**settings)
