"""What the prompt page shows."""

from monoseme.web.values import Model


class Firing(Model):
    """One latent on one token."""

    latent: int
    value: float


class PromptToken(Model):
    """One token of a prompt with the latents that fired on it, strongest first."""

    text: str
    special: bool
    """True for a token that the SAE does not read (begin of text)."""
    firings: list[Firing]
    n_firings: int


class PromptLatent(Model):
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
