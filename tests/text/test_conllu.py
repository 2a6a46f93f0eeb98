"""Words, spaces, multiword tokens, empty nodes and broken lines of CoNLL-U."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monoseme.text import CorpusConfig, CorpusFacts, read_documents
from monoseme.text.conllu import BadSentence, Sentence, TaggedDocument, read_sentences, read_tagged_documents


def row(id_: object, form: str, upos: str = "X", misc: str = "_") -> str:
    return f"{id_}\t{form}\t_\t{upos}\t{upos.lower()}\t_\t_\t_\t_\t{misc}"


def sentences(*lines: str) -> list[Sentence | BadSentence]:
    return list(read_sentences([line.encode() + b"\n" for line in lines]))


def only(*lines: str) -> Sentence:
    (found,) = sentences(*lines)
    assert isinstance(found, Sentence), found
    return found


def spelt(found: Sentence) -> list[tuple[str, str]]:
    return [(found.text[word.start : word.stop], word.upos) for word in found.words]


def test_words_and_spaces_make_the_text() -> None:
    found = only("# text = I see, you.", row(1, "I", "PRON"), row(2, "see", "VERB", "SpaceAfter=No"), row(3, ",", "PUNCT"),
                 row(4, "you", "PRON", "Gloss=thou|SpaceAfter=No"), row(5, ".", "PUNCT"))  # fmt: skip
    assert found.text == "I see, you."
    assert spelt(found) == [("I", "PRON"), ("see", "VERB"), (",", "PUNCT"), ("you", "PRON"), (".", "PUNCT")]


def test_a_multiword_token_that_its_words_spell_is_parted() -> None:
    found = only("# text = We don't.", row(1, "We", "PRON"), row("2-3", "don't", "_", "SpaceAfter=No"), row(2, "do", "AUX"),
                 row(3, "n't", "PART"), row(4, ".", "PUNCT"))  # fmt: skip
    assert spelt(found) == [("We", "PRON"), ("do", "AUX"), ("n't", "PART"), (".", "PUNCT")]


def test_a_multiword_token_that_its_words_do_not_spell_is_one_word_with_both_tags() -> None:
    found = only("# text = du pain", row("1-2", "du", "_"), row(1, "de", "ADP"), row(2, "le", "DET"), row(3, "pain", "NOUN"))
    assert spelt(found) == [("du", "ADP+DET"), ("pain", "NOUN")]


def test_empty_nodes_are_no_part_of_the_text() -> None:
    found = only("# text = I too", row(1, "I"), row("1.1", "go"), row(2, "too"))
    assert [text for text, _ in spelt(found)] == ["I", "too"]


def test_a_no_break_space_is_as_the_text_comment_has_it() -> None:
    assert only("# text = 10\u00a0km", row(1, "10"), row(2, "km")).text == "10\u00a0km"


def test_comments_hold_values_with_equals_signs_and_flags_without_value() -> None:
    comments = only("# newpar", "# source = a = b", row(1, "I")).comments
    assert comments == {"newpar": "", "source": "a = b"}


@pytest.mark.parametrize(
    ("lines", "line", "words"),
    [
        (["# text = a", "1\ta\t_"], 2, "3 columns instead of 10"),
        ([row(1, "a"), row("two", "b")], 2, '"two" is no id'),
        ([row("2-1", "a")], 1, '"2-1" is no id'),
        ([row(1, "a"), row(3, "b")], 2, "word 2 was expected"),
        ([row("1-2", "ab"), row(1, "a")], 1, "each word once"),
        ([row("1-2", "ab"), row("1-2", "ab"), row(1, "a"), row(2, "b")], 1, "each word once"),
        ([row(1, "")], 1, "no form"),
        (["# only a comment"], 1, "without words"),
        (["# text = a c", row(1, "a"), row(2, "b")], 1, 'spell "a b", but # text is "a c"'),
    ],
)
def test_a_broken_sentence_is_told_with_its_line_and_costs_no_other(lines: list[str], line: int, words: str) -> None:
    good = [row(1, "fine")]
    before, bad, after = sentences(*good, "", *lines, "", *good)
    assert isinstance(before, Sentence)
    assert isinstance(after, Sentence)
    assert isinstance(bad, BadSentence)
    assert bad.line == line + 2
    assert words in bad.why


def test_bytes_that_are_not_utf8_break_their_sentence_only() -> None:
    found = list(read_sentences([row(1, "caf").encode() + b"\xe9\n", b"\r\n", b"\xef\xbb\xbf", row(1, "b").encode() + b"\r\n"]))
    assert isinstance(found[0], BadSentence)


def test_a_byte_order_mark_and_windows_line_ends_are_no_text() -> None:
    (found,) = read_sentences([b"\xef\xbb\xbf" + row(1, "a").encode() + b"\r\n", row(2, "b").encode() + b"\r\n", b"\r\n"])
    assert isinstance(found, Sentence)
    assert found.text == "a b"


def test_documents_are_joined_with_the_spaces_between_their_sentences() -> None:
    lines = [
        "# newdoc id = one",
        "# genre = mail",
        row(1, "Hi", misc="SpaceAfter=No"),
        "",
        row(1, "!", "PUNCT"),
        "",
        row(1, "Bye"),
    ]
    lines += ["", "# newpar id = p", row(1, "End"), "", "# newdoc id = two", row(1, "Yes")]
    first, second = read_tagged_documents([line.encode() + b"\n" for line in lines])
    assert isinstance(first, TaggedDocument)
    assert isinstance(second, TaggedDocument)
    assert (first.name, first.text, first.line) == ("one", "Hi! Bye\nEnd", 1)
    assert [first.text[word.start : word.stop] for word in first.words] == ["Hi", "!", "Bye", "End"]
    assert (second.name, second.text) == ("two", "Yes")


def test_without_marks_of_documents_each_sentence_is_one() -> None:
    lines = ["# sent_id = s1", row(1, "a"), "", row(1, "b")]
    found = [d for d in read_tagged_documents([line.encode() + b"\n" for line in lines]) if isinstance(d, TaggedDocument)]
    assert [(d.name, d.text) for d in found] == [("s1", "a"), ("line 4", "b")]


@given(st.lists(st.tuples(st.text(st.characters(categories=("L", "P")), min_size=1, max_size=4), st.booleans()), min_size=1))
def test_any_words_come_back_where_they_were_put(words: list[tuple[str, bool]]) -> None:
    text = "".join(form + (" " if space else "") for form, space in words).removesuffix(" ")
    lines = [row(i, form, misc="_" if space else "SpaceAfter=No") for i, (form, space) in enumerate(words, 1)]
    found = only(f"# text = {text}", *lines)
    assert [shown for shown, _ in spelt(found)] == [form for form, _ in words]


def test_a_corpus_of_conllu_is_its_documents(tmp_path: Path) -> None:
    file = tmp_path / "bank.conllu"
    lines = ["# newdoc id = one", "# genre = mail", row(1, "Hi"), "", row(1, "you"), "", "# newdoc id = two", "# genre = web"]
    file.write_text("\n".join([*lines, row(1, "Yes"), "", "1\tbroken", ""]))
    facts = CorpusFacts()
    config = CorpusConfig(source=str(file), label_fields=("genre",), group_field="document")
    with pytest.warns(UserWarning, match="bank.conllu, line 11: 2 columns instead of 10"):
        found = list(read_documents(config, facts))
    assert [(d.text, d.source, d.labels) for d in found] == [
        ("Hi you", "one", {"genre": "mail"}),
        ("Yes", "two", {"genre": "web"}),
    ]
    assert facts.n_bad == 1


def test_english_ewt_is_spelt_as_its_text_comments(shared: Path) -> None:
    for part in ("dev", "test"):
        with (shared / "corpora" / "ud-english-ewt" / f"en_ewt-ud-{part}.conllu").open("rb") as file:
            found = list(read_sentences(file))
        assert len(found) == {"dev": 2001, "test": 2077}[part]
        assert all(isinstance(s, Sentence) and s.text == s.comments["text"] for s in found)
