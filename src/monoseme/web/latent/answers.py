"""What the page of a latent shows, its small card, and what the page asks for on its own: judgements, a text, a vector."""

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
    n_together: int | None = None
    """Kept tokens on which both fire (count)."""
    explanation: str | None = None


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


class Layer(Model):
    """The latent of the same number at another site, or in another part of the codes, of the same SAE."""

    key: str
    """Its name in the atlas, for the address of its page."""
    name: str
    """The site, or the part."""
    density: float
    max: float | None
    mean: float | None
    """Mean over the tokens on which it fired."""


class RoleDensity(Model):
    """How often the latent fires on what one role of a conversation says."""

    role: str
    density: float


class Score(Model):
    """How well an explanation predicts the latent, beside the controls that a real one has to beat."""

    name: str
    scorer: str = ""
    """Who measured it; empty where that is not known."""
    value: float | None
    standard_error: float | None = None
    low: float | None = None
    """Lower end of the 95 % interval; null where it was not worked out."""
    high: float | None = None
    n: int | None = None
    why_missing: str | None = None
    definition: str = ""
    controls: tuple[MetricValue, ...] = ()
    part: str = ""
    """Label of the scores; the judgements behind them are asked for by it."""
    has_judgements: bool = False
    """Whether each single judgement was kept; told of the first number of a part."""


class ExplanationText(Model):
    """One explainer's words for a latent, or why it has none."""

    explainer: str
    text: str | None
    """At most a few thousand characters; a longer one ends in an ellipsis."""
    why_missing: str | None = None
    scores: list[Score]


class LatentDetail(Model):
    """The page of one latent."""

    sae: str
    index: int
    n_latents: int
    site: str = ""
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
    std: float | None = None
    """Standard deviation over the same tokens."""
    fires_on: tuple[str, ...] = ()
    """Tokens of the strongest examples, each once, the strongest first."""
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
    layers: tuple[Layer, ...] = ()
    """All sites, or parts, of the SAE that were scanned, this one among them; empty where there is only one."""
    roles: tuple[RoleDensity, ...] = ()
    """Empty for plain text."""
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


class JudgedExcerpt(Model):
    """One thing that a judge was asked about, and what it said."""

    kind: str
    """Why it was chosen: `top`, `decile`, `silent`, `near_miss`, `random`, `wrong_marks`, or `written` by the judge."""
    told: str
    """Whose explanation the judge had: `own`, `other`, `empty`; `lookup`: a table of tokens answered."""
    told_of: int | None
    """The latent whose explanation it was."""
    question: int | None
    """Excerpts with one number were put to the judge together."""
    decile: int | None
    """The tenth of the activations, 0 the weakest."""
    truth: float | None
    answer: float | None
    says: bool | None
    """The answer as yes or no; null where no such thing was said."""
    is_right: bool | None
    """Whether the answer agrees with the truth; null where answers are numbers, or there is none."""
    failure: str | None
    tokens: list[str]
    """Empty where the text is not known any more."""
    values: list[float | None]
    """The latent's activation on each token; null where it is not known."""
    said: list[float | None]
    """What the judge said of each token, where it was asked so; empty elsewhere."""
    marked: list[int]
    """Indices of the tokens that the judge saw marked."""
    peak: int | None
    document: int | None
    position: int | None


class Judgements(Model):
    """The judgements behind the scores of one explanation of one latent."""

    part: str
    scorer: str
    explainer: str
    total: int
    """Judgements kept (count); `judgements` holds the first of them."""
    judgements: list[JudgedExcerpt]


class Trial(Model):
    """A text of one's own, as the latent sees it."""

    sae: str
    index: int
    tokens: list[str]
    values: list[float | None]
    """Null on a token that the SAE does not read."""
    peak: int | None
    """Index of its strongest token; null where it does not fire."""
    truncated: str
    """Empty, or what was cut and why."""
    seconds: float


class WrittenVector(Model):
    """What one unit of the latent adds to the activations at one site."""

    site: str
    norm: float
    values: list[float]


class LatentVectors(Model):
    """What the latent writes: one vector for each site its SAE writes to."""

    sae: str
    index: int
    vectors: list[WrittenVector]
