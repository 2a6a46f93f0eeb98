"""Tokens as people read them."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models
from transformers import PreTrainedTokenizerFast

from monoseme.models import LanguageModel
from monoseme.models._tokens import TextStream, TokenTexts, show_bytes
from monoseme.testing.models import tiny_tokenizer

TINY = tiny_tokenizer()


def _sentencepiece_like() -> PreTrainedTokenizerFast:
    """Marks for spaces, bytes for what is not in the vocabulary, as Llama's and Gemma's tokenizers are."""
    pieces = ["<unk>", "<s>", *(f"<0x{byte:02X}>" for byte in range(256)), "\u2581the", "\u2581cat", "s"]
    backend = Tokenizer(models.BPE(vocab={p: i for i, p in enumerate(pieces)}, merges=[], byte_fallback=True, unk_token="<unk>"))
    backend.decoder = decoders.Sequence([decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse()])
    return PreTrainedTokenizerFast(tokenizer_object=backend, bos_token="<s>", unk_token="<unk>")


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


def test_an_id_beyond_the_vocabulary_is_shown_as_a_number() -> None:
    """Embeddings are often padded to a round number of rows."""
    assert TokenTexts(TINY).of([len(TINY) + 7]) == [f"<id {len(TINY) + 7}>"]


@pytest.mark.parametrize(
    ("data", "shown"), [(b"", ""), (b"ab", "ab"), (b"\xe2\x82\xac", "€"), (b"\xe2\x82", "<0xE2><0x82>"), (b"a\xffb", "a<0xFF>b")]
)
def test_bytes_are_shown_as_far_as_they_are_text(data: bytes, shown: str) -> None:
    assert show_bytes(data) == shown


@given(st.text(max_size=30))
def test_a_stream_gives_the_whole_text_and_never_half_a_character(text: str) -> None:
    stream = TextStream(TINY)
    pieces = [stream.push(i) for i in TINY(text, add_special_tokens=False)["input_ids"]]
    whole = "".join(pieces)
    assert text.startswith(whole)
    if not text.endswith("\ufffd"):
        assert whole == text


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
