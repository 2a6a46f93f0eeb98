"""Contexts as tensors. Letters: n contexts, S positions."""

from dataclasses import dataclass

from monoseme.tensors.shapes import Bool, Int, Tensor


@dataclass(frozen=True)
class TokenBlock:
    """Whole contexts with all that is known of each token."""

    tokens: Int[Tensor, "n S"]
    """Token ids (int64); padding holds the tokenizer's padding id."""
    mask: Bool[Tensor, "n S"]
    """What SAEs and metrics may see: real tokens that are not special and whose role was asked for."""
    real: Bool[Tensor, "n S"]
    """What is not padding: the attention mask."""
    documents: Int[Tensor, "n S"]
    """The document (section) of each token, also for its BOS; -1 on padding."""
    sources: Int[Tensor, "n S"]
    """The source of that document; -1 on padding."""
    positions: Int[Tensor, "n S"]
    """Place of the token in its document, from 0; -1 for BOS that packing put in, and on padding."""
    roles: Int[Tensor, "n S"]
    """Codes in `monoseme.text.ROLES` (int8); 0 in plain text."""
    turns: Int[Tensor, "n S"]
    """Turn of a conversation, from 0 (int16); 0 in plain text."""

    @property
    def n_contexts(self) -> int:
        """Contexts of the block."""
        return int(self.tokens.shape[0])
