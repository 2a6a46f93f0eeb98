"""`TokenStrip`: a text shaded by a number for each token."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from monoseme.api._html import framed, shaded
from monoseme.core.errors import ConfigError

if TYPE_CHECKING:
    from monoseme.web.embed import Embedded

_N_TOLD = 8
"""Tokens with the largest values that the text form tells (count)."""


@dataclass(frozen=True, kw_only=True)
class TokenStrip:
    """A text and one number for each of its tokens, such as a latent's activation. Shows itself as shaded text."""

    tokens: tuple[str, ...]
    values: tuple[float | None, ...]
    """One for each token; None for a token that is not read, such as a beginning of text."""
    title: str = "Tokens"
    top: float | None = None
    """Value of the darkest shade. None: the largest there is."""

    def __post_init__(self) -> None:
        if len(self.tokens) != len(self.values):
            raise ConfigError(f"{len(self.tokens)} tokens and {len(self.values)} values do not pair")

    @property
    def scale(self) -> float:
        """Value of the darkest shade."""
        return self.top if self.top is not None else max((abs(value) for value in self.values if value is not None), default=0.0)

    def interactive(self) -> "Embedded":
        """The same as the web app shows it, with its scripts inside; `.write(path)` makes a page of it."""
        from monoseme.web.embed import token_strip

        return token_strip(self.tokens, self.values, top=self.scale, title=self.title)

    def __repr__(self) -> str:
        known = [(value, i) for i, value in enumerate(self.values) if value]
        best = sorted(known, key=lambda pair: (-abs(pair[0]), pair[1]))[:_N_TOLD]
        told = ", ".join(f"{self.tokens[i]!r} {value:.3g}" for value, i in best)
        return f"{self.title}: {len(self.tokens)} tokens, {len(known)} with a value{': ' + told if told else ''}"

    def _repr_html_(self) -> str:
        return framed(self.title, self.body(), note=f"darkest: {self.scale:.3g}")

    def body(self) -> str:
        """The shaded text alone, as HTML."""
        return shaded(self.tokens, self.values, top=self.scale)
