"""One face for the tokenizers there are: those of transformers (fast or slow) and bare ones of the tokenizers library."""

from collections.abc import Sequence
from typing import Any, NamedTuple, cast

from monoseme.core.errors import ConfigError
from monoseme.core.files import hash_bytes, hash_json
from monoseme.text.document import Turn


class Encoded(NamedTuple):
    """Token ids of a text, and for each token the characters [start, stop) it stands for."""

    ids: list[int]
    offsets: list[tuple[int, int]]


class TextTokenizer:
    """Texts to token ids, without any special tokens added; those spelt out in a text are recognised."""

    def __init__(self, tokenizer: Any, *, bos_id: int | None = None) -> None:
        """`tokenizer` is of transformers or of tokenizers; `bos_id` tells the BOS of a bare one, which does not know it.

        Raises ConfigError for anything else.
        """
        self._full: Any = None
        self._rust: Any = None
        if _is_bare(tokenizer):
            self._rust, self.bos_id, self.pad_id = tokenizer, bos_id, 0
            added = tokenizer.get_added_tokens_decoder()
            self.vocab_size = int(tokenizer.get_vocab_size())
            special = {id_ for id_, token in added.items() if token.special}
        elif _is_full(tokenizer):
            self._full = tokenizer
            self._rust = getattr(tokenizer, "backend_tokenizer", None)
            self.bos_id = bos_id if bos_id is not None else cast("int | None", tokenizer.bos_token_id)
            self.pad_id = int(tokenizer.pad_token_id or 0)
            self.vocab_size = len(tokenizer)
            added = cast("dict[int, Any]", tokenizer.added_tokens_decoder)
            special = {*tokenizer.all_special_ids, *(id_ for id_, token in added.items() if token.special)}
        else:
            raise ConfigError(f"a tokenizer of transformers or tokenizers is needed, not {type(tokenizer).__name__}")
        self.special_ids = frozenset(int(id_) for id_ in special) | ({self.bos_id} if self.bos_id is not None else set())
        self._rust = _without_limits(self._rust)

    @property
    def has_chat_template(self) -> bool:
        """Whether it brings a template for conversations of its own."""
        return self._full is not None and self._full.chat_template is not None

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of each text. Fast tokenizers use all cores and let other threads run meanwhile."""
        if self._rust is None:
            return self._full(list(texts), add_special_tokens=False, verbose=False)["input_ids"]
        return [encoding.ids for encoding in self._rust.encode_batch_fast(list(texts), add_special_tokens=False)]

    def encode_with_offsets(self, texts: Sequence[str]) -> list[Encoded]:
        """As `encode_batch`, with each token's characters. Raises ConfigError for a slow tokenizer, which has none."""
        if self._rust is None:
            raise ConfigError("conversations need a fast tokenizer (one with a tokenizer.json): this one has no offsets")
        found = self._rust.encode_batch(list(texts), add_special_tokens=False)
        return [Encoded(encoding.ids, encoding.offsets) for encoding in found]

    def chat_text(self, turns: Sequence[Turn], template: str | None) -> str:
        """The conversation as text through `template` (None: the tokenizer's own). Raises ConfigError if there is none."""
        if self._full is None or (template is None and not self.has_chat_template):
            raise ConfigError("this tokenizer has no chat template.\n  Set chat_template to a Jinja template.")
        messages = [{"role": turn.role, "content": turn.content} for turn in turns]
        return self._full.apply_chat_template(messages, tokenize=False, chat_template=template)

    def content_hash(self) -> str:
        """Hash of everything that decides the token ids."""
        if self._rust is None:
            return hash_json({"vocab": self._full.get_vocab(), "class": type(self._full).__name__})
        return hash_bytes(self._rust.to_str().encode())


def _is_bare(tokenizer: Any) -> bool:
    import tokenizers

    return isinstance(tokenizer, tokenizers.Tokenizer)


def _is_full(tokenizer: Any) -> bool:
    from transformers import PreTrainedTokenizerBase

    return isinstance(tokenizer, PreTrainedTokenizerBase)


def _without_limits(rust: Any) -> Any:
    """A tokenizer that neither truncates nor pads: tokenizer.json may say so, and would cut every long document short.

    A copy, since the user's own one may be needed as it is.
    """
    if rust is None or (rust.truncation is None and rust.padding is None):
        return rust
    copy = type(rust).from_str(rust.to_str())
    copy.no_truncation()
    copy.no_padding()
    return copy
