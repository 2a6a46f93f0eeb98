"""What the prompt page shows: the latents on a text, over layers, over time, and what they do to the model's predictions.

A *position* is the index of a token in `tokens`. A *layer* is the index of a site in the list of sites of the answer, from 0.
"""

from typing import Literal

from monoseme.web.values import Histogram, MetricValue, Model, TextToken


class Firing(Model):
    """One latent on one token."""

    latent: int
    value: float


class PromptToken(TextToken):
    """One token of a prompt with the latents that fired on it, strongest first."""

    firings: list[Firing]
    n_firings: int


class PromptLatent(Model):
    """One latent over a whole prompt."""

    index: int
    max: float
    peak: int
    """Position of the token on which it is strongest."""
    n_tokens: int
    """Number of tokens of the prompt on which it fired."""
    density: float | None
    """How often it fires in the scanned corpus."""
    share_of_max: float | None
    """`max` over the largest activation in the scanned corpus."""
    explanation: str | None


class PromptViews(Model):
    """What else can be seen of a text with this SAE."""

    name: str
    """Of the SAE, also where the page is that of one of its parts or sites."""
    key: str | None
    """The name under which what is shown was scanned, for links to latents; null where it was not."""
    site: str
    """Whose codes are shown."""
    unit: Literal["activation", "standardised", "root_mean_square"]
    """Of codes: the activations' own, each vector's standard deviation, or each vector's root mean square."""
    layers: list[str]
    """Sites that have codes of their own; empty where one code serves all."""
    parts: list[str]
    """Parts of the code (high and low, predicted and novel); empty where it has none."""
    logit_sites: list[str]
    """Where its reconstruction can stand in, and where its latents can steer."""


class PromptReading(Model):
    """The prompt page: the latents on each token of a text."""

    sae: str
    text: str
    tokens: list[PromptToken]
    latents: list[PromptLatent]
    n_latents_fired: int
    truncated: str
    """Empty, or what was cut and why."""
    seconds: float
    """0 where the text was read before."""
    views: PromptViews


class LayerOfPrompt(Model):
    """What an SAE makes of a text at one site."""

    site: str
    key: str | None
    """Under which its latents were scanned: their examples at this site are those of `/saes/{key}/latents/{index}`."""
    max: float | None
    """Largest code; null where nothing fired."""
    n_fired: int
    """Latents that fired."""
    histogram: Histogram
    """Of the codes other than 0: 64 bins, the same edges at all layers."""
    metrics: list[MetricValue]
    """Of the reconstruction of this text at this site, as evaluations define them."""


class LayerCodes(Model):
    """All codes other than 0 as columns of one length, by position, then layer, then strongest first."""

    position: list[int]
    layer: list[int]
    latent: list[int]
    value: list[float]


class LayerLatent(Model):
    """One latent over all layers and tokens of a prompt."""

    index: int
    max: float
    peak: int
    """Position at which it is strongest."""
    peak_layer: int
    total: float
    """Sum of its codes."""
    mean_layer: float
    """Mean of the layer's number, each layer weighted by the size of the latent's codes there."""
    n_firings: int
    """(token, layer) pairs on which it fired."""
    explanation: str | None
    """At the layer of its peak."""


class LayersReading(Model):
    """A text through an SAE of several sites with codes of their own (MLSAE)."""

    sae: str
    text: str
    tokens: list[TextToken]
    layers: list[LayerOfPrompt]
    codes: LayerCodes
    latents: list[LayerLatent]
    """Strongest first; at most 2,000."""
    n_latents_fired: int
    truncated: str
    seconds: float


class LayerRow(Model):
    """One latent at one position, over the layers."""

    latent: int
    values: list[float | None]
    """At each layer; null where it does not fire, or not above the threshold."""
    mean_layer: float
    """Mean of the layer's number, weighted by the size of the values."""
    total: float
    """Sum of the values."""
    explanation: str | None
    """At the layer where it is strongest."""


class LayerTable(Model):
    """The latents at one position of a text, by mean layer, then the largest total first."""

    sae: str
    position: int
    token: TextToken
    sites: list[str]
    threshold: float
    """Share of `max` that a value has to exceed, in [0, 1)."""
    max: float | None
    """Largest value at this position, at any layer; null where nothing fired."""
    rows: list[LayerRow]
    n_rows: int
    """Latents above the threshold, of which at most 500 are in `rows`: those of the largest totals."""


class PartOfPrompt(Model):
    """One part of a code along a text."""

    name: str
    n_fired: int
    """Latents that fired."""
    l0: float
    """Mean number of latents per token that the SAE reads."""
    energy: list[float | None]
    """Of each token: ‖p‖² / Σ ‖q‖², p what this part adds to the reconstruction, q what each part does. Null on special tokens,
    and where no part adds anything."""
    energy_of_text: float | None
    """The same with sums over all tokens."""


class TimeRow(Model):
    """One latent of one part along a text."""

    part: str
    latent: int
    key: str | None
    """Under which this part of the code was scanned."""
    total: float
    """Sum of the sizes of its codes."""
    max: float
    """The code of the largest size, with its sign."""
    peak: int
    """The first position of that size."""
    positions: list[int]
    """Where it fires."""
    values: list[float]
    """Its codes there."""
    density: float | None
    explanation: str | None


class TimeReading(Model):
    """The token by latent map of a text: the strongest latents of each part, in order of their first peak."""

    sae: str
    text: str
    site: str
    tokens: list[TextToken]
    parts: list[PartOfPrompt]
    """Parts of the code, or one, `all`."""
    rows: list[TimeRow]
    n_rows: int
    """Latents that fired, each part's counted apart."""
    why_no_energy: str | None
    """Why `energy` is null throughout; null where it is not."""
    truncated: str
    seconds: float


class TokenLogit(Model):
    """A token of the vocabulary as the one to come next."""

    id: int
    token: str
    logit: float
    probability: float
    change: float | None = None
    """Its logit less that of the unchanged model; null for the unchanged model itself."""


class NextTokens(Model):
    """What the model expects next, as it is or changed."""

    top: list[TokenLogit]
    """The largest logits."""
    gain: list[TokenLogit]
    """The largest gains against the unchanged model, largest first; empty for the unchanged model."""
    loss: list[TokenLogit]
    """The largest losses, largest first; empty for the unchanged model."""
    next: TokenLogit | None
    """The token that does come next; null at the end of the text."""
    kl: float | None
    """KL(unchanged ‖ changed) in nats; null for the unchanged model."""


class LogitsReading(Model):
    """Logits at one position of a text: of the model as it is, with the reconstruction in place at a site, and steered there."""

    sae: str
    site: str
    sites: list[str]
    """All that may be chosen."""
    position: int
    token: TextToken
    input: NextTokens
    reconstruction: NextTokens
    steered: NextTokens | None
    why_not_steered: str | None
    """Null where `steered` is there."""
    maximum: float | None
    """The latent's largest activation in the scanned corpus, a strength of 1max; null without a latent, or if it is not known."""
    truncated: str
    seconds: float
