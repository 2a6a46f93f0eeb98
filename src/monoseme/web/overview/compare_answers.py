"""What the map of a dictionary and the comparison of two SAEs show."""

from typing import Literal

from pydantic import Field

from monoseme.web.values import Histogram, MetricValue, Model


class WorkProgress(Model):
    """How far a piece of work is that a page waits for."""

    state: Literal["waiting", "running", "done", "failed"]
    stage: str = ""
    share: float | None = None
    """Of this stage, in [0, 1]; null where it cannot be told."""
    why: str = ""
    """Why it failed."""


class DictionaryMap(Model):
    """The state of a map; its points are at `/map/points`."""

    sae: str
    method: str
    progress: WorkProgress
    n_latents: int | None = None
    """Of the SAE; null before the map is made, as is `n_placed`."""
    n_placed: int | None = None
    left_out: str = ""
    """Why the others are not on the map."""


class Side(Model):
    """One of two SAEs that are compared."""

    run: str
    sae: str
    architecture: str
    n_latents: int | None
    site: str
    has_atlas: bool
    measured_as: str = ""
    """As of an SAE of the overview."""


class MetricPair(Model):
    """A metric of both, and how they differ."""

    name: str
    definition: str
    unit: str
    better: Literal["higher", "lower", "neither"]
    a: MetricValue | None
    b: MetricValue | None
    difference: float | None = None
    """b less a; null where one has no value."""
    low: float | None = None
    """Ends of the 95 % interval of the difference; null where an error is not known, or both are one measurement."""
    high: float | None = None
    favours: Literal["a", "b", "neither"] = "neither"
    """Which is better, where the whole interval is on one side of 0."""
    warning: str = ""
    """Why the two values may not be comparable."""


class SaeComparison(Model):
    """The metrics of two SAEs."""

    a: Side
    b: Side
    metrics: list[MetricPair]


class Partner(Model):
    """A latent of a, and the latent of b whose direction is nearest to its own."""

    latent: int
    partner: int
    cosine: float
    is_mutual: bool
    """Whether it is the nearest of its partner too."""
    explanation: str | None = None
    partner_explanation: str | None = None
    density: float | None = None
    partner_density: float | None = None


class MatchSide(Model):
    """What the latents of one SAE find in the other."""

    n: int
    """Latents that take part (count)."""
    left_out: str
    mean_cosine: float
    """MMCS: the mean over latents of the largest cosine with a direction of the other."""
    standard_error: float | None
    """Of that mean; takes latents for independent."""
    shares: list[float]
    """Share of latents with a partner of at least each of `thresholds`, in [0, 1]."""
    chance: list[float]
    """The same with as many random directions in place of the other SAE."""
    histogram: Histogram
    """Of the largest cosines."""


class Match(Model):
    """The latents of two SAEs matched by their directions."""

    a: MatchSide
    b: MatchSide
    thresholds: list[float]
    n_mutual: int
    """Pairs of latents that are each other's nearest (count)."""


class MatchState(Model):
    """How far the matching is, and some of its pairs once it is done."""

    progress: WorkProgress
    why_none: str = ""
    """Why directions of the two cannot be compared."""
    match: Match | None = None
    partners: list[Partner] = Field(default_factory=list[Partner])
    total: int = 0
    """Pairs that pass the filter (count)."""
    offset: int = 0
