"""What the read API answers: one typed model per page, so that every page is also JSON and the front end has no surprises.

A missing number is `null` with its reason beside it. Text that comes from models and data is plain text here; the front end only
ever shows it as text.
"""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True)


class ApiError(_Model):
    """Any answer that is not a success."""

    error: str
    """What was wrong, one line."""
    hint: str = ""
    """What to do about it; may be empty."""


class Fact(_Model):
    """A labelled fact about a run, ready to show."""

    label: str
    value: str
    help: str = ""


class Chart(_Model):
    """A chart that can be asked for under `/charts/{name}`."""

    name: str
    title: str
    group: Literal["training", "measured"]
    caption: str = ""


class ChartThemes(_Model):
    """Vega-Lite configs that give every chart the colours of the page."""

    light: dict[str, Any]
    dark: dict[str, Any]


class MetricValue(_Model):
    """One measured number; `value` is null where it does not exist, and `why_missing` says why."""

    name: str
    value: float | None
    standard_error: float | None = None
    why_missing: str | None = None
    unit: str = ""
    better: Literal["higher", "lower", "neither"] = "neither"
    n: int | None = None
    definition: str = ""


class SaeSummary(_Model):
    """One SAE of a run, with what was measured on it."""

    name: str
    architecture: str
    n_latents: int | None
    site: str
    has_atlas: bool
    why_no_atlas: str = ""
    config: dict[str, Any]
    metrics: list[MetricValue]
    domains: dict[str, list[MetricValue]]
    """The same metrics on each domain of the held-out text; empty where there is one."""


class RunSummary(_Model):
    """One line of the list of runs."""

    id: str
    name: str
    path: str
    model: str
    site: str
    saes: list[str]
    problem: str = ""
    """Why the run cannot be shown; empty where it can."""


class RunOverview(_Model):
    """The overview page of a run."""

    id: str
    name: str
    model: str
    site: str
    corpus: str
    facts: list[Fact]
    saes: list[SaeSummary]
    charts: list[Chart]


class LatentRow(_Model):
    """One row of the table of latents."""

    index: int
    density: float
    """Fraction of tokens on which the latent is not zero, in [0, 1]."""
    max: float | None
    """Largest activation seen; null for a latent that never fired."""
    explanation: str | None
    score: float | None
    top_tokens: list[str]


class LatentTable(_Model):
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


class Histogram(_Model):
    """Counts of the non-zero activations of a latent; `edges` has one entry more than `counts`."""

    edges: list[float]
    counts: list[int]


class Example(_Model):
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


class ExampleGroup(_Model):
    """Examples chosen by one rule: the strongest, or a decile of the activations."""

    name: str
    low: float | None
    high: float | None
    examples: list[Example]


class LogitToken(_Model):
    """A token of the vocabulary and what the latent adds to its logit."""

    token: str
    value: float


class Logits(_Model):
    """Direct logit attribution: the tokens whose logits the latent raises and lowers the most."""

    top: list[LogitToken]
    bottom: list[LogitToken]


class RelatedLatent(_Model):
    """Another latent, and how near it is in one sense."""

    index: int
    value: float


class RelatedGroup(_Model):
    """The latents nearest to one in one sense, the nearest first."""

    name: str
    definition: str
    latents: list[RelatedLatent]


class Effects(_Model):
    """What changes in the prediction of the next token when the latent alone is taken out."""

    n: int
    """Firings that were ablated (count)."""
    loss_change: float | None
    """Mean rise of the loss, in nats; positive where the latent helps."""
    standard_error: float | None
    why_missing: str | None
    risen: list[LogitToken]
    """Tokens that become likelier without it, and the change of their log-probability."""
    fallen: list[LogitToken]


class Score(_Model):
    """How well an explanation predicts the latent, beside the controls that a real one has to beat."""

    name: str
    scorer: str = ""
    """Who measured it; empty where that is not known."""
    value: float | None
    standard_error: float | None = None
    n: int | None = None
    why_missing: str | None = None
    definition: str = ""
    controls: list[MetricValue] = []


class ExplanationText(_Model):
    """One explainer's words for a latent, or why it has none."""

    explainer: str
    text: str | None
    why_missing: str | None = None
    scores: list[Score]


class LatentDetail(_Model):
    """The page of one latent."""

    sae: str
    index: int
    n_latents: int
    density: float
    n_active: int
    """Number of tokens on which the latent fired."""
    n_tokens: int
    """Number of tokens scanned."""
    n_documents: int | None
    """Number of documents in which it fired; null where that was only estimated."""
    max: float | None
    mean: float | None
    """Mean over the tokens on which it fired."""
    why_missing: str | None
    """Why there are no examples; null where there are."""
    explanations: list[ExplanationText]
    groups: list[ExampleGroup]
    histogram: Histogram | None
    logits: Logits | None
    why_no_logits: str | None
    related: list[RelatedGroup] = []
    why_no_relations: str | None = None
    effects: Effects | None = None
    why_no_effects: str | None = None
    n_near_duplicates: int | None = None
    """Firings that are not among the examples because a better one has nearly the same text; null where not counted."""
    previous: int | None
    next: int | None


class LatentCard(_Model):
    """The small card shown when a latent is pointed at."""

    sae: str
    index: int
    density: float
    max: float | None
    explanation: str | None
    score: float | None
    histogram: Histogram | None
    top_tokens: list[str]
    promoted: list[str]
    """Tokens whose logits the latent raises the most."""
    examples: list[Example]


class LatentIndex(_Model):
    """The answer of `/random`: where to go."""

    sae: str
    index: int


class Firing(_Model):
    """One latent on one token."""

    latent: int
    value: float


class PromptToken(_Model):
    """One token of a prompt with the latents that fired on it, strongest first."""

    text: str
    special: bool
    """True for a token that the SAE does not read (begin of text)."""
    firings: list[Firing]
    n_firings: int


class PromptLatent(_Model):
    """One latent over a whole prompt."""

    index: int
    max: float
    peak: int
    """Index of the token on which it is strongest."""
    n_tokens: int
    """Number of tokens of the prompt on which it fired."""
    density: float | None
    """How often it fires in the scanned corpus."""
    share_of_max: float | None
    """`max` over the largest activation in the scanned corpus."""
    explanation: str | None


class PromptReading(_Model):
    """The prompt page: the latents on each token of a text."""

    sae: str
    text: str
    tokens: list[PromptToken]
    latents: list[PromptLatent]
    n_latents_fired: int
    truncated: str
    """Empty, or what was cut and why."""
    seconds: float
