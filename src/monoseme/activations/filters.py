"""Which tokens of stored activations an SAE is kept from, beyond what was decided when they were captured."""

import math
from dataclasses import dataclass

import torch

from monoseme.core.errors import ConfigError
from monoseme.tensors.shapes import Bool, Float, Tensor
from monoseme.text.block import TokenBlock


@dataclass(frozen=True, kw_only=True)
class TokenFilter:
    """Leaves out tokens by the length of their vector, their place, or what they are. By default it leaves out none."""

    least_norm: float | None = None
    """Shortest vector let through at any of the sites. None: any."""
    most_norm: float | None = None
    """Longest vector let through at any of the sites. None: any."""
    norms_in: str = "medians"
    """What the two count in: "medians" (multiples of the store's median norm at the site) or "absolute"."""
    min_context_position: int = 0
    """Positions at the start of every context that are left out (count)."""
    min_document_position: int = 0
    """Tokens at the start of every document that are left out (count)."""
    excluded_tokens: tuple[int, ...] = ()
    """Ids of tokens that are left out."""

    def __post_init__(self) -> None:
        """Raises ConfigError for bounds that nothing passes, and for negative ones."""
        if self.norms_in not in ("medians", "absolute"):
            raise ConfigError(f'norms_in is "{self.norms_in}".\n  Allowed: medians, absolute')
        least, most = self.least_norm or 0.0, math.inf if self.most_norm is None else self.most_norm
        if not 0.0 <= least < most:
            raise ConfigError(f"least_norm is {self.least_norm} and most_norm {self.most_norm}: no norm is between them")
        if min(self.min_context_position, self.min_document_position, *self.excluded_tokens, 0) < 0:
            raise ConfigError("positions and token ids of a filter must be 0 or more")

    @property
    def by_norm(self) -> bool:
        """Whether norms matter."""
        return self.least_norm is not None or self.most_norm is not None

    @property
    def by_text(self) -> bool:
        """Whether it asks what a token is or where it stands."""
        return bool(self.min_context_position or self.min_document_position or self.excluded_tokens)

    def norm_range(self, median: float | None) -> tuple[float, float]:
        """The norms let through at a site with that median norm (None: unknown). Raises ConfigError where it is needed."""
        unit = 1.0
        if self.norms_in == "medians" and self.by_norm:
            if median is None:
                raise ConfigError('the store has no median norm, since no token was seen.\n  Set norms_in to "absolute".')
            unit = median
        return (self.least_norm or 0.0) * unit, math.inf if self.most_norm is None else self.most_norm * unit

    def passed_text(self, text: TokenBlock) -> Bool[Tensor, "n S"]:
        """What passes by place and id."""
        passed = torch.ones_like(text.real)
        passed[:, : self.min_context_position] = False
        if self.min_document_position:
            passed &= text.positions >= self.min_document_position
        if self.excluded_tokens:
            passed &= ~torch.isin(text.tokens, torch.tensor(self.excluded_tokens))
        return passed


def within(norms: Float[Tensor, "n S"], least: float, most: float) -> Bool[Tensor, "n S"]:
    """Norms from `least` to `most`, both included. NaN is not; a range without an upper end holds infinity."""
    return (norms >= least) & (norms <= most)
