"""What several pages answer with. Every answer of the API is a typed model, so that the front end has no surprises.

A missing number is `null` with its reason beside it. Text that comes from models and data is plain text here; the front end only
ever shows it as text.
"""

from typing import Literal

from pydantic import BaseModel, ConfigDict


class Model(BaseModel):
    model_config = ConfigDict(frozen=True)


class ApiError(Model):
    """Any answer that is not a success."""

    error: str
    """What was wrong, one line."""
    hint: str = ""
    """What to do about it; may be empty."""


class MetricValue(Model):
    """One measured number; `value` is null where it does not exist, and `why_missing` says why."""

    name: str
    value: float | None
    standard_error: float | None = None
    why_missing: str | None = None
    unit: str = ""
    better: Literal["higher", "lower", "neither"] = "neither"
    n: int | None = None
    definition: str = ""


class Histogram(Model):
    """Counts of the non-zero activations of a latent; `edges` has one entry more than `counts`."""

    edges: list[float]
    counts: list[int]


class Example(Model):
    """A stretch of text with the latent's activation on each token."""

    tokens: list[str]
    values: list[float | None]
    """Null on a token that the SAE does not read, such as a beginning of text."""
    peak: int
    """Index in `tokens` of the token that the example was chosen for."""
    document: int
    position: int
    """Position of the peak token in its document."""
    source: str = ""


class TextToken(Model):
    """One token of a text of the reader's own."""

    text: str
    special: bool
    """True for a token that the SAE does not read (begin of text)."""


class LogitToken(Model):
    """A token of the vocabulary and what the latent adds to its logit."""

    token: str
    value: float
