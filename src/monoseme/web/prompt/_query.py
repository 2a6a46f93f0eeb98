"""What a reader may ask about logits, with its bounds."""

from typing import Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

MAX_PROMPT_CHARS = 8000
"""Longest prompt accepted; a longer URL does not pass every browser and server."""


class LookedAt(NamedTuple):
    """Where to look."""

    site: str | None
    """One that the SAE gives back; None: that of the codes shown, or the first."""
    position: int | None
    """None: the last token."""
    top: int
    """Tokens in each list (count)."""


class Steering(NamedTuple):
    """What to steer with."""

    latent: int
    strength: float
    unit: Literal["max", "norm", "raw"]
    method: str
    error_term: bool | None
    """For methods that work on codes; None: as they have it."""


class LogitsQuery(BaseModel):
    """One position of a text at one site, and what to steer with. Without a latent nothing is steered."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    text: str = Field(min_length=1, max_length=MAX_PROMPT_CHARS)
    site: str | None = Field(default=None, max_length=100, description="one of the SAE's outputs; none: that of the codes shown")
    position: int | None = Field(default=None, ge=0, lt=2**31, description="index of a token; none: the last")
    top: int = Field(default=16, ge=1, le=100, description="tokens in each list")
    latent: int | None = Field(default=None, ge=0, lt=2**31)
    strength: float = Field(default=1.0, ge=-1e4, le=1e4, allow_inf_nan=False)
    unit: Literal["max", "norm", "raw"] = "raw"
    method: str = Field(default="additive", max_length=100, description="a steering method")
    error_term: bool | None = Field(default=None, description="for methods that work on codes; none: as they have it")

    @property
    def place(self) -> LookedAt:
        """Where to look."""
        return LookedAt(self.site, self.position, self.top)

    @property
    def steering(self) -> Steering | None:
        """What to steer with; None for nothing."""
        if self.latent is None:
            return None
        return Steering(self.latent, self.strength, self.unit, self.method, self.error_term)
