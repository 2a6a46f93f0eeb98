"""What the page of a latent shows, and its small card."""

from monoseme.web.values import Example, Histogram, LogitToken, MetricValue, Model


class ExampleGroup(Model):
    """Examples chosen by one rule: the strongest, or a decile of the activations."""

    name: str
    low: float | None
    high: float | None
    examples: list[Example]


class Logits(Model):
    """Direct logit attribution: the tokens whose logits the latent raises and lowers the most."""

    top: list[LogitToken]
    bottom: list[LogitToken]


class RelatedLatent(Model):
    """Another latent, and how near it is in one sense."""

    index: int
    value: float


class RelatedGroup(Model):
    """The latents nearest to one in one sense, the nearest first."""

    name: str
    definition: str
    latents: list[RelatedLatent]


class Effects(Model):
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


class Score(Model):
    """How well an explanation predicts the latent, beside the controls that a real one has to beat."""

    name: str
    scorer: str = ""
    """Who measured it; empty where that is not known."""
    value: float | None
    standard_error: float | None = None
    n: int | None = None
    why_missing: str | None = None
    definition: str = ""
    controls: tuple[MetricValue, ...] = ()


class ExplanationText(Model):
    """One explainer's words for a latent, or why it has none."""

    explainer: str
    text: str | None
    why_missing: str | None = None
    scores: list[Score]


class LatentDetail(Model):
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
    related: tuple[RelatedGroup, ...] = ()
    why_no_relations: str | None = None
    effects: Effects | None = None
    why_no_effects: str | None = None
    n_near_duplicates: int | None = None
    """Firings that are not among the examples because a better one has nearly the same text; null where not counted."""
    previous: int | None
    next: int | None


class LatentCard(Model):
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
