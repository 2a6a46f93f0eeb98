"""One forward of a language model on a text, up to all that an SAE needs of it.

Letters: S tokens, T of them that the SAE reads, D width.
"""

from collections.abc import Mapping
from typing import NamedTuple

import torch

from monoseme.models import LanguageModel, Site
from monoseme.saes import SAE, Codes
from monoseme.splice import Placed, Read
from monoseme.tensors.shapes import Bool, Tensor
from monoseme.web.run_files import ScannedSae
from monoseme.web.token_text import TokenText, tokens_of


class Forward(NamedTuple):
    """A text, and an SAE in its places on it."""

    text: TokenText
    sae: SAE
    placed: Placed
    asked: ScannedSae
    activations: Mapping[Site, Tensor]
    """[1, S, D] at each of the SAE's sites."""
    mask: Bool[Tensor, "1 S"]

    @property
    def site(self) -> Site:
        """Whose codes are meant."""
        return self.placed.code_sites[self.number]

    @property
    def number(self) -> int:
        """Which of the sites with codes of their own."""
        where = [str(site) for site in self.placed.code_sites]
        return where.index(self.asked.code_site) if self.asked.code_site in where else 0

    @torch.no_grad()
    def codes(self) -> Codes:
        """Of all sites."""
        return self.placed.encode(self.activations, self.mask)

    @torch.no_grad()
    def read(self, *, part: str | None = None) -> list[Read]:
        """What the SAE makes of each site that it gives back."""
        return self.placed.read(self.activations, self.mask, part=part)


class UnreadText(NamedTuple):
    """A text before its forward: what the worker needs to read several at once."""

    text: TokenText
    sae: SAE
    placed: Placed
    asked: ScannedSae

    @property
    def ids(self) -> list[int]:
        """Its tokens."""
        return self.text.ids

    @property
    def sites(self) -> tuple[Site, ...]:
        """All that the SAE reads and gives back."""
        return tuple(dict.fromkeys((*self.placed.inputs, *self.placed.outputs)))

    def forward(self, activations: Mapping[Site, Tensor]) -> Forward:
        """With what the model made of it."""
        return Forward(self.text, self.sae, self.placed, self.asked, activations, self.text.counts())


def unread_text(model: LanguageModel, sae: SAE, asked: ScannedSae, text: str, *, begins_with_bos: bool) -> UnreadText:
    """A text for an SAE. Raises BadRequestError for one of no tokens."""
    return UnreadText(tokens_of(model, text, begins_with_bos=begins_with_bos), sae, Placed(sae, asked.sites), asked)


def forward_on(model: LanguageModel, sae: SAE, asked: ScannedSae, text: str, *, begins_with_bos: bool) -> Forward:
    """Runs the model as far as the SAE's last site. Raises BadRequestError for a text of no tokens."""
    unread = unread_text(model, sae, asked, text, begins_with_bos=begins_with_bos)
    return unread.forward(model.capture(unread.text.tokens(model), unread.sites))
