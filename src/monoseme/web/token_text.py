"""A text as a language model and an SAE read it: tokens, and which of them are special."""

from typing import NamedTuple

import torch

from monoseme.models import LanguageModel
from monoseme.tensors.shapes import Bool, Int, Tensor
from monoseme.web.run_files import BadRequestError
from monoseme.web.values import TextToken

MAX_TOKENS = 1024
"""Longest prompt that is read; attention is quadratic in it."""


class TokenText(NamedTuple):
    """S tokens."""

    ids: list[int]
    texts: list[str]
    special: list[bool]
    """SAEs are trained without these, so they get no latents."""
    truncated: str
    """Empty, or what was cut off."""

    def shown(self) -> list[TextToken]:
        """For an answer."""
        return [TextToken(text=text, special=special) for text, special in zip(self.texts, self.special, strict=True)]

    def tokens(self, model: LanguageModel) -> Int[Tensor, "1 S"]:
        """The ids, where the model is."""
        return torch.tensor([self.ids], device=model.device)

    def counts(self) -> Bool[Tensor, "1 S"]:
        """True where an SAE reads."""
        return ~torch.tensor([self.special])

    def positions(self) -> Int[Tensor, " T"]:
        """Of the T tokens that an SAE reads."""
        return self.counts()[0].nonzero().squeeze(1)


def tokens_of(model: LanguageModel, text: str, *, begins_with_bos: bool) -> TokenText:
    """The tokens of `text`, with BOS first where training had it. Raises BadRequestError for a text with none to read."""
    ids = model.encode(text)
    if begins_with_bos and model.bos_id is not None and ids[:1] != [model.bos_id]:
        ids = [model.bos_id, *ids]
    longest = min(MAX_TOKENS, model.spec.n_positions or MAX_TOKENS)
    truncated = f"Only the first {longest:,} of {len(ids):,} tokens were read." if len(ids) > longest else ""
    ids = ids[:longest]
    special = [token in model.special_ids for token in ids]
    if all(special):
        raise BadRequestError("this text has no token that an SAE reads: none at all, or special ones only\n  Type some words.")
    return TokenText(ids, model.decode_tokens(ids), special, truncated)
