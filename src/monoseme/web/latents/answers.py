"""What the table of latents shows."""

from monoseme.web.values import Model


class LatentRow(Model):
    """One row of the table of latents."""

    index: int
    density: float
    """Fraction of tokens on which the latent is not zero, in [0, 1]."""
    max: float | None
    """Largest activation seen; null for a latent that never fired."""
    explanation: str | None
    score: float | None
    top_tokens: list[str]


class LatentTable(Model):
    """One page of the table of latents; `total` counts what passes the filters, `n_latents` all of them."""

    sae: str
    n_latents: int
    n_dead: int
    total: int
    offset: int
    limit: int
    score_name: str
    """Which score the column `score` shows; empty when there is none."""
    rows: list[LatentRow]


class LatentIndex(Model):
    """The answer of `/random`: where to go."""

    sae: str
    index: int
