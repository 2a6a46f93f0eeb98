"""What the table of latents shows."""

from typing import Literal

from pydantic import Field

from monoseme.web.values import Model

SearchBy = Literal["contains", "words", "meaning", "text"]


class LatentRow(Model):
    """One row of the table of latents."""

    index: int
    density: float
    """Fraction of tokens on which the latent is not zero, in [0, 1]; of the tokens of one role where that was asked for."""
    max: float | None
    """Largest activation seen; null for a latent that never fired."""
    explanation: str | None
    score: float | None
    score_low: float | None = None
    """Lower end of the score's 95 % interval: score - 1.96 standard errors; null where there is no error."""
    score_n: int | None = None
    """What the score rests on (count); null without a score."""
    top_tokens: list[str]
    more: dict[str, float | None] = Field(default_factory=dict)
    """The columns that were asked for, and those of a search, by name."""


class LatentColumn(Model):
    """A column of numbers that the table can show, sort by and state conditions on."""

    name: str
    definition: str = ""
    """What the number means, where that is known."""


class LatentColumns(Model):
    """What can be asked of the table of one SAE, beside what every table has."""

    sae: str
    columns: list[LatentColumn]
    roles: list[str]
    """Roles of a conversation with densities of their own; empty for plain text."""
    stated: list[str]
    """Names that a statement may use."""
    why_no_meaning: str | None = None
    """Why explanations cannot be searched by meaning; null where they can."""


class Search(Model):
    """What a ranked search looked at; the numbers that do not go with it are null."""

    by: SearchBy
    n_found: int
    """Latents found, before other filters (count)."""
    n_matches: int | None = None
    """Places of the phrase in the scanned text (count)."""
    n_with_codes: int | None = None
    """Those on which it is known which latents fire (count)."""
    why_missing: str | None = None
    """Why that is not known."""
    columns: list[LatentColumn]
    """The numbers of the search that each row has."""


class LatentTable(Model):
    """One page of the table of latents; `total` counts what passes the filters, `n_latents` all of them."""

    sae: str
    n_latents: int
    n_dead: int
    """Latents that fired on none of `n_tokens` (count)."""
    n_tokens: int | None = None
    """Tokens that were scanned (count); null where that is not known."""
    total: int
    offset: int
    limit: int
    score_name: str
    """Which score the column `score` shows; empty when there is none."""
    search: Search | None = None
    """Of a search that ranks; null for one that only filters."""
    rows: list[LatentRow]


class RandomLatent(Model):
    """The answer of `/random`: where to go."""

    sae: str
    index: int
