"""Sentences are cut in order, lose nothing but space, and become contexts of their own."""

import itertools
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from monoseme.core.errors import ConfigError, CorpusError
from monoseme.text import CorpusConfig, TokenStore, read_documents
from monoseme.text import documents as documents_module
from monoseme.text import sentences as sentences_module
from monoseme.text.document import CorpusFacts
from monoseme.text.sentence_file import write_sentences
from monoseme.text.sentences import SplitterError, sentence_spans, with_sentences

_ODD = ["\n\n", "\x85", "\xa0", "\u2028", "\u2029", "\u3000", "\u200b", "\U0010ffff", "\0"]
_WORDS = ["Dr.", "e.g.", "U.S.", "J. R.", "...", "3.5", "http://a.b/c."]
_PARTS = st.sampled_from([*"ab A1.!?…。！？\"'()«»“”é😀\n\r\t/-", *_ODD, *_WORDS])


@settings(deadline=None, max_examples=300)
@given(
    text=st.one_of(st.lists(_PARTS, max_size=40).map("".join), st.text(max_size=60)), language=st.sampled_from(["en", "ja", "ar"])
)
@example(text="A\xa0.", language="en")
@example(text="“A\u2028.", language="en")
def test_sentences_are_in_order_and_lose_no_character_that_is_no_space(text: str, language: str):
    text = text.encode(errors="ignore").decode()
    spans = sentence_spans(text, language=language)
    assert all(a.stop <= b.start for a, b in itertools.pairwise(spans))
    found = [text[start:stop] for start, stop in spans]
    assert all(sentence and sentence == sentence.strip() for sentence in found)
    assert "".join("".join(found).split()) == "".join(text.split())
    assert sentence_spans(text, language=language) == spans


def test_abbreviations_initials_and_quotations_end_no_sentence():
    text = 'Dr. J. Smith came, e.g. by train.  "Hello!" he said. It cost $3.50.\n\nA new paragraph without an end\n\nAnother.'
    assert [text[a:b] for a, b in sentence_spans(text)] == [
        "Dr. J. Smith came, e.g. by train.",
        '"Hello!" he said.',
        "It cost $3.50.",
        "A new paragraph without an end",
        "Another.",
    ]


def test_another_language_has_other_rules():
    assert len(sentence_spans("これは犬です。あれは猫です。", language="ja")) == 2


def test_a_wrapped_line_and_a_stray_control_character_end_no_sentence():
    assert len(sentence_spans("It was a dark\nand stormy\x85night, and so on.")) == 1


def test_books_are_cut_at_their_full_stops(shared: Path):
    found = read_documents(CorpusConfig(source=str(shared / "corpora/classic_books")))
    for document in itertools.islice(found, 3):
        text = document.text[:100_000]
        spans = sentence_spans(text)
        assert "".join("".join(text[a:b] for a, b in spans).split()) == "".join(text.split())
        assert 20 < len(text) / len(spans) < 400


def _jsonl(folder: Path, rows: list[dict[str, Any]]) -> CorpusConfig:
    path = folder / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return CorpusConfig(source=str(path), sentences="cut", context_len=7, holdout_fraction=0.4, shuffle=False)


_ROWS = [
    {"text": "a user? C d system?", "by": "x"},
    {"text": "  "},
    {"text": "user? A user?\n\nb c d e f g a b c user?", "by": "y"},
    {"text": "user?"},
]


def test_each_sentence_is_a_document_of_its_row(tmp_path: Path):
    config = replace(_jsonl(tmp_path, _ROWS), label_fields=("by",))
    facts = CorpusFacts()
    found = list(read_documents(config, facts))
    assert [document.text for document in found] == [
        "a user?",
        "C d system?",
        "user?",
        "A user?",
        "b c d e f g a b c user?",
        "user?",
    ]
    assert [document.row for document in found] == [0, 0, 2, 2, 2, 3]
    assert [document.source for document in found] == [f"rows.jsonl:{i}" for i in (1, 1, 3, 3, 3, 4)]
    assert [document.labels.get("by") for document in found] == ["x", "x", "y", "y", "y", None]
    assert (facts.n_rows, facts.n_empty) == (4, 1)


def test_a_sentence_is_alone_in_its_context_without_bos_and_no_longer(tmp_path: Path, words: Any):
    store = TokenStore.build(_jsonl(tmp_path, _ROWS), words)
    plan = store.contexts("all")
    block = plan.block(0, 100)
    assert (store.config.packing, store.config.bos, store.config.truncate_tokens) == ("one_per_context", "never", 7)
    assert block.n_contexts == store.n_documents == 6
    assert block.real.sum(1).tolist() == [3, 4, 2, 3, 7, 2]
    assert not (block.tokens[block.real] == words.bos_token_id).any()
    assert block.positions[:, 0].tolist() == [0] * 6


def test_a_length_of_ones_own_is_kept(tmp_path: Path, words: Any):
    store = TokenStore.build(replace(_jsonl(tmp_path, _ROWS), truncate_tokens=2), words)
    assert store.contexts("all").block(0, 9).real.sum(1).tolist() == [2] * 6


def test_sentences_of_a_row_are_on_one_side(tmp_path: Path, words: Any):
    rows = [{"text": "a user? C user? E user?"} for _ in range(40)]
    store = TokenStore.build(_jsonl(tmp_path, rows), words)
    sides = [store.is_heldout(i) for i in range(store.n_documents)]
    assert all(len(set(sides[i : i + 3])) == 1 for i in range(0, 120, 3))
    assert len(set(sides)) == 2


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"packing": "packed"}, "alone in its context"),
        ({"bos": "always"}, "without BOS"),
        ({"chat": "messages"}, "not cut into sentences"),
        ({"language": "English"}, "no code of a language"),
        ({"sentences": "given", "language": "de"}, "no sentences are cut"),
        ({"sentences": "none", "language": "de"}, "no sentences are cut"),
    ],
)
def test_contradictions_are_refused(wrong: dict[str, Any], says: str):
    with pytest.raises(ConfigError, match=says):
        CorpusConfig(**{"sentences": "cut", **wrong})


def test_the_sentences_of_the_hub_are_known_by_name():
    found = with_sentences(CorpusConfig(source="paulpauls/openwebtext-sentences", context_len=192))
    assert (found.sentences, found.packing, found.bos, found.truncate_tokens) == ("given", "one_per_context", "never", 192)
    with pytest.raises(ConfigError, match='set sentences to "none"'):
        with_sentences(CorpusConfig(source="PaulPauls/openwebtext-sentences", packing="packed"))


def test_other_corpora_are_as_ever():
    found = with_sentences(CorpusConfig(source="bundled"))
    assert (found.sentences, found.packing, found.bos, found.truncate_tokens) == ("none", "packed", "auto", None)


def test_rows_that_are_sentences_are_not_cut_and_many_make_a_source(tmp_path: Path, words: Any, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(documents_module, "ROWS_PER_SOURCE", 100)
    # As the hub's: one column, a sentence in each row.
    path = tmp_path / "train-00000.parquet"
    pyarrow.parquet.write_table(pyarrow.table({"text": [f"a b. {'c ' * (i % 3)}d." for i in range(250)]}), path)
    store = TokenStore.build(CorpusConfig(source=str(path), sentences="given", context_len=11), words)
    assert (store.n_documents, store.n_sources) == (250, 3)
    assert store.contexts("all").block(0, 300).n_contexts == 250


def test_written_sentences_read_back_as_they_were_cut(tmp_path: Path, words: Any):
    config = replace(_jsonl(tmp_path, _ROWS * 9), label_fields=("by",))
    path = tmp_path / "out" / "sentences.parquet"
    made = write_sentences(replace(config, sentences="auto"), path)
    assert (made.n_sentences, made.n_documents, made.n_bytes) == (54, 27, path.stat().st_size)
    table = pyarrow.parquet.read_table(path).to_pylist()
    texts = [json.loads(line)["text"] for line in Path(config.source).read_text().splitlines()]
    assert all(texts[row["row"]][row["start"] : row["stop"]] == row["text"] for row in table)
    assert [(row["row"], row["sentence"]) for row in table] == sorted((row["row"], row["sentence"]) for row in table)
    again = list(read_documents(CorpusConfig(source=str(path), label_fields=("by",))))
    assert [(d.text, d.source, d.labels) for d in again] == [(d.text, d.source, d.labels) for d in read_documents(config)]
    # The same contexts, on the same sides.
    stores = [TokenStore.build(c, words) for c in (config, replace(config, source=str(path), sentences="auto"))]
    assert stores[0].content_hash == stores[1].content_hash


def test_writing_can_end_early_and_leaves_no_draft(tmp_path: Path):
    path = tmp_path / "few.parquet"
    assert write_sentences(_jsonl(tmp_path, _ROWS), path, max_sentences=3).n_sentences == 3
    assert sorted(p.name for p in tmp_path.iterdir()) == ["few.parquet", "rows.jsonl"]


def test_a_write_that_fails_leaves_what_was_there(tmp_path: Path):
    path = tmp_path / "kept.parquet"
    write_sentences(_jsonl(tmp_path, _ROWS), path)
    before = path.read_bytes()
    with pytest.raises(CorpusError):
        write_sentences(CorpusConfig(source=str(tmp_path / "nowhere.jsonl")), path)
    assert path.read_bytes() == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["kept.parquet", "rows.jsonl"]


@pytest.mark.parametrize("wrong", ["sentences.txt", "sentences"])
def test_only_parquet_is_written(tmp_path: Path, wrong: str):
    with pytest.raises(ConfigError, match="parquet"):
        write_sentences(_jsonl(tmp_path, _ROWS), tmp_path / wrong)


def test_a_text_on_which_the_splitter_fails_is_a_broken_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    class PanicException(BaseException):
        """What Rust raises is no Exception."""

    def segment(language: str, text: str) -> list[str]:
        del language
        if text == "user?":
            raise PanicException("byte index 2")
        return [text]

    monkeypatch.setattr(sentences_module, "_splitter", lambda: segment)
    facts = CorpusFacts()
    with pytest.warns(UserWarning, match="splitter failed"):
        found = list(read_documents(_jsonl(tmp_path, _ROWS), facts))
    assert (len(found), facts.n_bad) == (2, 1)
    with pytest.raises(SplitterError, match="byte index 2"):
        sentence_spans("user?")
