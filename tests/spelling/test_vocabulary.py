"""Words of vocabularies, lists and texts."""

from pathlib import Path

import pytest

from monoseme.core.errors import ConfigError
from monoseme.spelling import (
    alphabetic_tokens,
    by_ending_and_length,
    common_word_tokens,
    common_words,
    letters_of,
    read_words,
    same_ending_pairs,
)
from monoseme.testing.models import tiny_model


def test_alphabetic_tokens_are_letters_after_at_most_one_space():
    model = tiny_model()
    found = alphabetic_tokens(model)
    assert {" cat", " on", "a", "Z"} <= set(found)
    assert all(word.strip().isalpha() and word.strip().isascii() for word in found)
    assert not {"<s>", "<pad>", " ", "!"} & set(found)
    spaced, bare = (alphabetic_tokens(model, leading_space=space) for space in (True, False))
    assert sorted(spaced + bare) == sorted(found)
    assert all(word.startswith(" ") for word in spaced)
    assert min(len(word.strip()) for word in alphabetic_tokens(model, min_letters=3)) == 3


def test_common_words_are_counted_in_lower_case_and_whole():
    texts = ["The cat. The CAT! Don't; x86 cat-like the", "cat of Rome, Rome"]
    assert common_words(texts, least=2) == {"cat": 3, "the": 3, "rome": 2}
    assert common_words(texts, known=["Rome", "cat", "dog"], least=2) == {"cat": 3, "Rome": 2}
    assert common_words([], least=1) == {}


def test_common_word_tokens_are_tokens_of_the_vocabulary():
    assert sorted(common_word_tokens(tiny_model(), ["cat", "Cat", "zebra", "big"])) == [" big", " cat"]


def test_words_are_grouped_by_what_follows_their_first_letter():
    words = ["cat", "bat", " hat", "light", "night", "a", "b", "dog", "cat"]
    assert by_ending_and_length(words) == {3: {"at": ["cat", "bat", "hat"]}, 5: {"ight": ["light", "night"]}}


def test_pairs_differ_in_the_first_letter_alone():
    words = ["Union", "onion", "woman", "roman", "human", "cat", "bat"]
    assert same_ending_pairs(words, n_letters=5) == [("union", "onion"), ("woman", "roman")]
    assert same_ending_pairs(words, n_letters=9) == []


def test_letters_are_capitals_without_the_space():
    assert letters_of(" Tartan") == "TARTAN"


def test_a_list_of_words_is_read_without_what_is_no_word(tmp_path: Path):
    file = tmp_path / "words.txt"
    file.write_bytes("cat\r\n dog \n\nit's\ncat\nnaïve\n".encode())
    with pytest.warns(UserWarning, match="2 lines that are no word"):
        assert read_words(file) == ["cat", "dog"]


@pytest.mark.parametrize("content", [b"", b"1\n2\n", b"\xff\xfe\x00"])
def test_a_list_without_words_is_refused(tmp_path: Path, content: bytes):
    file = tmp_path / "words.txt"
    file.write_bytes(content)
    with pytest.raises(ConfigError, match="one word in each line"):
        read_words(file)
    with pytest.raises(ConfigError, match="cannot be read"):
        read_words(tmp_path / "absent.txt")
