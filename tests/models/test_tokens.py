"""Tokens as people read them."""

from typing import ClassVar

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models
from transformers import PreTrainedTokenizerFast

from monoseme.models import LanguageModel
from monoseme.models._tokens import TextStream, TokenTexts, show_bytes, text_after
from monoseme.testing.models import tiny_tokenizer

TINY = tiny_tokenizer()


def _sentencepiece_like() -> PreTrainedTokenizerFast:
    """Marks for spaces, bytes for what is not in the vocabulary, as Llama's and Gemma's tokenizers are."""
    pieces = ["<unk>", "<s>", *(f"<0x{byte:02X}>" for byte in range(256)), "\u2581the", "\u2581cat", "s"]
    backend = Tokenizer(models.BPE(vocab={p: i for i, p in enumerate(pieces)}, merges=[], byte_fallback=True, unk_token="<unk>"))
    backend.decoder = decoders.Sequence([decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse()])
    return PreTrainedTokenizerFast(tokenizer_object=backend, bos_token="<s>", unk_token="<unk>")


def _llama_like() -> PreTrainedTokenizerFast:
    """Takes away the first space of all that it decodes."""
    tokenizer = _sentencepiece_like()
    parts = [decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(content=" ", left=1)]
    tokenizer.backend_tokenizer.decoder = decoders.Sequence(parts)
    return tokenizer


LLAMA_LIKE = _llama_like()


@given(st.text(max_size=20).filter(lambda text: "<" not in text))
def test_tokens_of_whole_characters_join_to_the_text(text: str) -> None:
    ids = TINY(text, add_special_tokens=False)["input_ids"]
    shown = TokenTexts(TINY).of(ids)
    if text.isascii():
        assert "".join(shown) == text
    assert len(shown) == len(ids)


def test_bytes_of_a_cut_character_are_shown_as_numbers() -> None:
    ids = TINY("the é 😀", add_special_tokens=False)["input_ids"]
    assert TokenTexts(TINY).of(ids) == ["t", "h", "e", " ", "<0xC3>", "<0xA9>", " ", "<0xF0>", "<0x9F>", "<0x98>", "<0x80>"]


def test_leading_spaces_and_special_tokens_are_shown() -> None:
    assert TokenTexts(TINY).of(TINY(" cat")["input_ids"]) == ["<s>", " cat"]


def test_sentencepiece_marks_become_spaces() -> None:
    tokenizer = _sentencepiece_like()
    ids = [1, tokenizer.convert_tokens_to_ids("\u2581cat"), tokenizer.convert_tokens_to_ids("s"), 2 + 0xE2]
    assert TokenTexts(tokenizer).of(ids) == ["<s>", " cat", "s", "<0xE2>"]


@pytest.mark.parametrize(
    ("byte", "shown"), [(0x0A, "\n"), (0x09, "\t"), (0x20, " "), (0x41, "A"), (0x7F, "\x7f"), (0x80, "<0x80>"), (0xE2, "<0xE2>")]
)
def test_a_byte_that_is_a_character_is_shown_as_it(byte: int, shown: str) -> None:
    assert TokenTexts(_sentencepiece_like()).of([2 + byte]) == [shown]


def test_byte_pieces_are_shown_as_the_tokenizer_decodes_them() -> None:
    tokenizer = _sentencepiece_like()
    ids = [2 + byte for byte in range(0x80)]
    assert TokenTexts(tokenizer).of(ids) == [tokenizer.decode([i], clean_up_tokenization_spaces=False) for i in ids]


def test_a_text_that_spells_a_byte_piece_stays() -> None:
    """Written with the bytes of its six characters, and in a vocabulary whose decoder knows no bytes."""
    tokenizer = _sentencepiece_like()
    ids = [2 + ord(letter) for letter in "<0x0A>"]
    assert "".join(TokenTexts(tokenizer).of(ids)) == "<0x0A>"
    tokenizer.backend_tokenizer.decoder = decoders.Sequence([decoders.Replace("\u2581", " "), decoders.Fuse()])
    assert TokenTexts(tokenizer).of([2 + 0x0A]) == ["<0x0A>"]


def test_a_byte_piece_that_was_added_as_a_token_stays() -> None:
    tokenizer = _sentencepiece_like()
    tokenizer.add_tokens(["<0x0A>"], special_tokens=True)
    assert TokenTexts(tokenizer).of([2 + 0x0A]) == ["<0x0A>"]


class _SlowTokenizer:
    """One without a decoder that can be read, as SentencePiece's own are."""

    added_tokens_decoder: ClassVar[dict[int, str]] = {}

    def __init__(self, *, falls_back: bool) -> None:
        self._falls_back = falls_back

    def get_vocab(self) -> dict[str, int]:
        return {"<0x0A>": 0, "<0x41>": 1, "\u2581the": 2}

    def convert_ids_to_tokens(self, ids: list[int]) -> list[str]:
        return [list(self.get_vocab())[i] for i in ids]

    def convert_tokens_to_string(self, tokens: list[str]) -> str:
        return "A" if self._falls_back else "".join(tokens)


@pytest.mark.parametrize(("falls_back", "shown"), [(True, "\n"), (False, "<0x0A>")])
def test_a_slow_tokenizer_is_asked_whether_it_reads_bytes(*, falls_back: bool, shown: str) -> None:
    assert TokenTexts(_SlowTokenizer(falls_back=falls_back)).of([0, 2]) == [shown, " the"]


def test_an_id_beyond_the_vocabulary_is_shown_as_a_number() -> None:
    """Embeddings are often padded to a round number of rows."""
    assert TokenTexts(TINY).of([len(TINY) + 7]) == [f"<id {len(TINY) + 7}>"]


@pytest.mark.parametrize(
    ("data", "shown"), [(b"", ""), (b"ab", "ab"), (b"\xe2\x82\xac", "€"), (b"\xe2\x82", "<0xE2><0x82>"), (b"a\xffb", "a<0xFF>b")]
)
def test_bytes_are_shown_as_far_as_they_are_text(data: bytes, shown: str) -> None:
    assert show_bytes(data) == shown


@given(st.text(max_size=30).filter(lambda text: "<" not in text))  # "<s>" is no text, and is left out
def test_a_stream_gives_the_whole_text_and_never_half_a_character(text: str) -> None:
    stream = TextStream(TINY)
    pieces = [stream.push(i) for i in TINY(text, add_special_tokens=False)["input_ids"]]
    whole = "".join(pieces)
    assert text.startswith(whole)
    if not text.endswith("\ufffd"):
        assert whole == text


@given(
    ids=st.lists(st.integers(1, len(LLAMA_LIKE) - 1).filter(lambda i: i < 2 + 0x80 or i >= 2 + 256)), n_before=st.integers(0, 5)
)
def test_a_text_in_two_parts_is_the_whole_text(ids: list[int], n_before: int) -> None:
    before, new = ids[:n_before], ids[n_before:]
    first, whole = (str(LLAMA_LIKE.decode(some, skip_special_tokens=True)) for some in (before, ids))
    assert first + text_after(LLAMA_LIKE, before, new) == whole
    stream = TextStream(LLAMA_LIKE, after=before)
    assert first + "".join(stream.push(i) for i in new) == whole


def test_a_character_that_is_cut_between_two_parts_is_given_out_by_the_second() -> None:
    before, new = [1, 2 + 0xC3], [2 + 0xA9, len(LLAMA_LIKE) - 1]
    assert text_after(LLAMA_LIKE, before, new) == "és"
    stream = TextStream(LLAMA_LIKE, after=before)
    assert [stream.push(i) for i in new] == ["é", "s"]


def test_special_tokens_are_those_of_tokenizer_and_model(llama: LanguageModel) -> None:
    assert llama.special_ids == {0, 1}
    assert llama.bos_id == 1
    assert llama.end_ids == {1}
    assert llama.editable(torch.tensor([[1, 5, 1, 0]]), torch.tensor([[True, True, True, False]])).tolist() == [
        [False, True, False, False]
    ]


def test_a_model_shows_its_tokens(llama: LanguageModel) -> None:
    ids = torch.tensor(llama.encode("the cat"))
    assert llama.decode_tokens(ids) == ["<s>", "t", "h", "e", " cat"]
    assert llama.token_text(ids) == "<s>the cat"
