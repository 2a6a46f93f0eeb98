"""Tags of a model's tokens, from the words that their characters are in."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monoseme.core.errors import CorpusError, EmptyCorpusError, ExtraMissingError
from monoseme.text.tagged import TaggedWord, align, read_tagged, spacy_pipeline, tag_texts

from .test_conllu import row

TEXT = "I don't  know."
WORDS = [TaggedWord(0, 1, "PRON"), TaggedWord(2, 4, "AUX"), TaggedWord(4, 7, "PART"), TaggedWord(9, 13, "VERB")]


def tags(offsets: list[tuple[int, int]]) -> list[tuple[str, bool] | None]:
    return [None if tag is None else tuple(tag) for tag in align(TEXT, offsets, WORDS)]


def test_a_token_has_the_tag_of_the_word_with_its_first_character_whoever_owns_the_space() -> None:
    inside = [(0, 1), (2, 4), (4, 7), (9, 13)]
    before = [(0, 1), (1, 4), (4, 7), (7, 13)]
    assert tags(inside) == tags(before) == [("PRON", True), ("AUX", True), ("PART", True), ("VERB", True)]


def test_only_the_last_token_of_a_word_is_its_last() -> None:
    assert tags([(0, 1), (1, 3), (3, 6), (6, 7), (8, 10), (10, 13)]) == [
        ("PRON", True),
        ("AUX", False),
        ("AUX", True),  # "o" is of "do", though most of the token is of "n't"
        ("PART", True),
        ("VERB", False),
        ("VERB", True),
    ]


def test_spaces_and_what_is_in_no_word_have_no_tag() -> None:
    assert tags([(1, 2), (7, 9), (13, 14), (13, 13)]) == [None] * 4


@given(st.lists(st.integers(1, 5), min_size=1), st.data())
def test_tokens_that_are_the_words_have_their_tags(lengths: list[int], data: st.DataObject) -> None:
    words, place = list[TaggedWord](), 0
    for i, length in enumerate(lengths):
        place += data.draw(st.integers(0, 2))
        words.append(TaggedWord(place, place + length, str(i)))
        place += length
    text = "".join("x" if any(w.start <= c < w.stop for w in words) else " " for c in range(place))
    found = align(text, [(w.start, w.stop) for w in words], words)
    assert [tag and tag.tag for tag in found] == [w.tag for w in words]


def test_a_file_gives_the_tags_of_the_column_asked_for_and_words_without_a_tag_are_left_out(tmp_path: Path) -> None:
    file = tmp_path / "a.conllu"
    file.write_text("\n".join(["# sent_id = s", row(1, "We", "PRON"), row(2, "go", "_"), row(3, "on", "ADP"), "", "1\tx", ""]))
    with pytest.warns(UserWarning, match="line 6: 2 columns"):
        (upos,) = read_tagged(file)
    assert (upos.text, upos.source, upos.words) == ("We go on", "s", (TaggedWord(0, 2, "PRON"), TaggedWord(6, 8, "ADP")))
    with pytest.warns(UserWarning, match="line 6"):
        (xpos,) = read_tagged(file, column="xpos")
    assert [word.tag for word in xpos.words] == ["pron", "adp"]


def test_files_without_tags_and_files_that_are_not_there_are_refused(tmp_path: Path) -> None:
    (tmp_path / "none.conllu").write_text(row(1, "We", "_") + "\n")
    with pytest.raises(EmptyCorpusError, match="no word with a tag in the column upos"):
        list(read_tagged(tmp_path / "none.conllu"))
    with pytest.raises(CorpusError, match=r"missing.conllu cannot be read"):
        list(read_tagged(tmp_path / "missing.conllu"))


def test_a_tagger_gives_words_with_their_places() -> None:
    def pipe(texts: Any) -> Any:
        for text in texts:
            words = [("We", 0, "PRON", "PRP"), (" ", 3, "SPACE", "_SP"), ("go", 4, "VERB", "VBP")]
            yield [SimpleNamespace(text=w, idx=i, pos_=p, tag_=t) for w, i, p, t in words if w in text]

    (found,) = tag_texts([("We  go", "a")], pipe)
    assert found.words == (TaggedWord(0, 2, "PRON"), TaggedWord(4, 6, "VERB"))
    (fine,) = tag_texts([("We  go", "a")], pipe, column="xpos")
    assert [word.tag for word in fine.words] == ["PRP", "VBP"]


def test_without_spacy_the_way_to_get_it_and_its_pipeline_is_said() -> None:
    try:
        import spacy  # noqa: F401  # pyright: ignore[reportMissingImports]
    except ImportError:
        with pytest.raises(ExtraMissingError, match=r'(?s)spacy download en_core_web_sm.*pip install "monoseme\[tags\]"'):
            spacy_pipeline("en_core_web_sm")
    else:
        pytest.skip("spaCy is installed here")
