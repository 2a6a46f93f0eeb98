"""A tokenizer of whole words, small enough to see through."""

import pytest
import tokenizers
from transformers import PreTrainedTokenizerFast

WORDS = ("a", "b", "c", "d", "e", "f", "g", "user", "assistant", "system", ":", "\n", ".")


def word_tokenizer(*, bos: bool = True) -> tokenizers.Tokenizer:
    """Ids: <pad> 0, <unk> 1, <s> 2 (if `bos`), then the words. Newlines and punctuation are tokens, spaces are not."""
    special = ["<pad>", "<unk>", *(["<s>"] if bos else [])]
    vocab = {word: i for i, word in enumerate([*special, *WORDS])}
    tokenizer = tokenizers.Tokenizer(tokenizers.models.WordLevel(vocab, unk_token="<unk>"))
    split = tokenizers.pre_tokenizers.Split(tokenizers.Regex(r"\n"), "isolated")
    words = tokenizers.pre_tokenizers.Split(tokenizers.Regex(r"[^\S\n]+"), "removed")
    dots = tokenizers.pre_tokenizers.Punctuation("isolated")
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Sequence([split, words, dots])
    tokenizer.add_special_tokens([tokenizers.AddedToken(token, special=True) for token in special])
    return tokenizer


@pytest.fixture(scope="session")
def words() -> PreTrainedTokenizerFast:
    """With BOS."""
    return PreTrainedTokenizerFast(tokenizer_object=word_tokenizer(), bos_token="<s>", pad_token="<pad>", unk_token="<unk>")


@pytest.fixture(scope="session")
def words_without_bos() -> PreTrainedTokenizerFast:
    """As Qwen's: no BOS."""
    return PreTrainedTokenizerFast(tokenizer_object=word_tokenizer(bos=False), pad_token="<pad>", unk_token="<unk>")
