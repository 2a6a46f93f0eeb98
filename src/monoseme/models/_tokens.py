"""Tokens as people read them: the text of single tokens, special ids, text that arrives token by token.

Byte-level BPE and byte fallback cut characters into bytes; a byte that is a character alone is shown as that character (a line
break, a tab), one that is not as `<0xE2>`.
"""

import functools
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal

_ESCAPED = 0xDC00  # where `surrogateescape` puts a byte that is not UTF-8
_SPACE_MARK = "\u2581"  # SentencePiece writes a space as this
_BYTE_PIECE = re.compile(r"<0x([0-9A-Fa-f]{2})>")  # what byte fallback calls a byte in the vocabulary


class TokenTexts:
    """The display text of each token of one tokenizer."""

    def __init__(self, tokenizer: Any) -> None:
        """`tokenizer` is one of transformers'."""
        self._tokenizer = tokenizer
        described = _described_decoder(tokenizer)
        self._style = _style(tokenizer, described)
        self._falls_back = _falls_back(tokenizer, described)
        self._added: dict[int, str] = {i: str(t) for i, t in tokenizer.added_tokens_decoder.items()}

    def of(self, ids: Sequence[int]) -> list[str]:
        """One text per id, leading spaces kept; ids beyond the vocabulary (padded embeddings) are shown as `<id 50257>`."""
        pieces: list[str | None] = self._tokenizer.convert_ids_to_tokens(list(ids))
        return [self._text(i, piece) for i, piece in zip(ids, pieces, strict=True)]

    def _text(self, token: int, piece: str | None) -> str:
        if token in self._added:
            return self._added[token]
        if not piece:
            return f"<id {token}>"
        if self._falls_back and (byte := _BYTE_PIECE.fullmatch(piece)):
            return show_bytes(bytes.fromhex(byte[1]))
        if self._style == "bytes":
            return show_bytes(bytes(_byte_of().get(c, 0x3F) for c in piece))
        if self._style == "marks":
            return piece.replace(_SPACE_MARK, " ")
        return self._tokenizer.decode([token], clean_up_tokenization_spaces=False)


def show_bytes(data: bytes) -> str:
    """`data` as UTF-8, each byte that is not part of a character as `<0xE2>`."""
    text = data.decode("utf-8", errors="surrogateescape")
    return re.sub("[\udc80-\udcff]", lambda m: f"<0x{ord(m.group()) - _ESCAPED:02X}>", text)


def special_ids(tokenizer: Any, *configs: Any) -> frozenset[int]:
    """Ids that are no text: those the tokenizer calls special, and the begin, end and padding ids of `configs`."""
    ids: set[int] = set(tokenizer.all_special_ids)
    ids |= {i for i, token in tokenizer.added_tokens_decoder.items() if token.special}
    for config in configs:
        for name in ("bos_token_id", "eos_token_id", "pad_token_id"):
            ids |= set(as_ids(getattr(config, name, None)))
    return frozenset(ids)


def as_ids(value: int | Sequence[int] | None) -> tuple[int, ...]:
    """An id, several or none, as transformers' configurations hold them."""
    if value is None:
        return ()
    return (value,) if isinstance(value, int) else tuple(value)


class TextStream:
    """Text of a growing sequence: gives out characters only once all their bytes are there."""

    def __init__(self, tokenizer: Any, *, after: Sequence[int] = ()) -> None:
        """`after`: tokens that stand before it, whose text is not given out."""
        self._tokenizer = tokenizer
        self._ids: list[int] = list(after)
        self._start = 0  # where decoding begins: a token or so back, since spaces depend on the token before
        self._done = len(self._ids)  # ids whose text is out

    def push(self, token: int) -> str:
        """The text that `token` completes; empty while a character lacks bytes."""
        self._ids.append(token)
        text = text_after(self._tokenizer, self._ids[self._start : self._done], self._ids[self._done :])
        if not text or text.endswith("\ufffd"):
            return ""
        self._start, self._done = self._done, len(self._ids)
        return text


def text_after(tokenizer: Any, before: Sequence[int], new: Sequence[int], *, shows_special: bool = False) -> str:
    """What the tokens `new` add to the text of those before them; special tokens are left out, unless `shows_special`.

    Decoded alone they would lose the space that they begin with, where a tokenizer takes away the first space of all (Llama,
    SentencePiece). A character of which `before` has only some bytes is given out whole.
    """
    first, both = (
        str(tokenizer.decode(list(ids), skip_special_tokens=not shows_special, clean_up_tokenization_spaces=False))
        for ids in (before, [*before, *new])
    )
    known = first if both.startswith(first) else first.rstrip("\ufffd")
    return both[len(known) :]


def _described_decoder(tokenizer: Any) -> dict[str, Any] | None:
    """The decoder of a tokenizer as JSON tells it; None for one that has none."""
    decoder = getattr(getattr(tokenizer, "backend_tokenizer", None), "decoder", None)
    # the pickle protocol gives the JSON without the vocabulary
    return None if decoder is None else json.loads(decoder.__getstate__())


def _kinds(described: Mapping[str, Any]) -> list[str | None]:
    return [part.get("type") for part in [described, *described.get("decoders", [])]]


def _style(tokenizer: Any, described: Mapping[str, Any] | None) -> Literal["bytes", "marks", "other"]:
    """How the vocabulary writes text, from the tokenizer's decoder."""
    if described is None:
        return "marks" if any(piece.startswith(_SPACE_MARK) for piece in tokenizer.get_vocab()) else "other"
    kinds = _kinds(described)
    if "ByteLevel" in kinds:
        return "bytes"
    return "marks" if "Metaspace" in kinds or _SPACE_MARK in json.dumps(described, ensure_ascii=False) else "other"


def _falls_back(tokenizer: Any, described: Mapping[str, Any] | None) -> bool:
    """Whether `<0x0A>` is a byte for the tokenizer, not six characters of text: as its decoder reads it."""
    if described is not None:
        return "ByteFallback" in _kinds(described)
    return "<0x41>" in tokenizer.get_vocab() and tokenizer.convert_tokens_to_string(["<0x41>"]).strip() == "A"


@functools.cache
def _byte_of() -> dict[str, int]:
    """Which byte each character of a byte-level vocabulary stands for: printable Latin-1 for itself, the rest from U+0100 on."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(0x100) if byte not in printable]
    return {**{chr(byte): byte for byte in printable}, **{chr(0x100 + i): byte for i, byte in enumerate(others)}}
