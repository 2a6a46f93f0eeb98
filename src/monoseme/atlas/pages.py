"""What an atlas gives to viewers: the page of one latent, as typed values that turn into JSON.

A value that is not known is None beside the reason, never 0 or NaN. Texts of tokens are raw: whoever shows them escapes them.
"""

import math
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

from monoseme.atlas.said import Explanation, Score


@dataclass(frozen=True, kw_only=True)
class LatentStats:
    """Numbers of one latent over the scanned text."""

    n_tokens: int
    """Tokens that reached the SAE (count)."""
    n_fired: int
    """Tokens on which the latent fired (count)."""
    density: float
    """n_fired / n_tokens, in [0, 1]."""
    n_negative: int
    """Tokens with a negative code (count); they are no firings."""
    n_contexts: int
    """Contexts in which it fired (count)."""
    n_documents: int
    """Documents in which it fired (count)."""
    n_documents_is_exact: bool
    """False: the count is an estimate, good to about 13 %."""
    max: float | None
    """Largest activation, in the SAE's unit."""
    mean: float | None
    """Mean of the positive activations."""
    std: float | None
    """Standard deviation of the positive activations."""
    n_near_duplicates: int | None = None
    """Firings that are not shown because a better example has nearly the same text (count); None where it was not counted."""


@dataclass(frozen=True, kw_only=True)
class Histogram:
    """Counts of the positive activations, from the first to the last bin that holds any."""

    edges: tuple[float, ...]
    """One more than counts; logarithmic, four bins to a power of two."""
    counts: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Example:
    """A firing with the text around it, all from one context of one document."""

    document: int
    position: int
    """Of the firing token, in its document."""
    source: str
    """What the document was cut from."""
    labels: dict[str, str]
    """Labels of the document, such as its domain."""
    role: str | None = None
    """Who speaks the firing token in a conversation, one of `monoseme.text.ROLES`; None in plain text."""
    turn: int | None = None
    """Turn of the conversation that the firing token is in, from 0; None in plain text."""
    value: float
    """Activation of the firing token."""
    focus: int
    """Index of the firing token in the tuples below."""
    tokens: tuple[int, ...]
    texts: tuple[str, ...]
    values: tuple[float | None, ...]
    """Activation of the same latent on each token (the firing's is exact, the others to three digits); None for a token that
    is kept from the SAE, such as a beginning of text."""


@dataclass(frozen=True, kw_only=True)
class Decile:
    """A tenth of the firings by activation."""

    low: float
    high: float
    examples: tuple[Example, ...]


@dataclass(frozen=True, kw_only=True)
class TokenLogit:
    """What the latent's decoder row adds to one token's logit, per unit of activation."""

    token: int
    text: str
    logit: float


@dataclass(frozen=True, kw_only=True)
class Related:
    """Another latent and how it goes with this one, on the tokens whose codes the atlas keeps."""

    other: int
    n_fired: int
    """Kept tokens on which this latent fires (count)."""
    n_other: int
    """Kept tokens on which the other fires (count)."""
    n_together: int
    """Kept tokens on which both fire (count)."""
    jaccard: float
    """n_together / kept tokens on which one of them fires, in [0, 1]."""
    lift: float | None
    """n_together over what two independent latents would have; None where one never fires."""
    correlation: float | None
    """Pearson's r of the two codes over all kept tokens, zeros included; None where one is constant."""
    cosine: float | None
    """Cosine of what the two latents write; None where that is not known."""


@dataclass(frozen=True, kw_only=True)
class TokenChange:
    """How ablating the latent moves the log-probability that a token comes next, as the mean over the ablated firings."""

    token: int
    text: str
    log_p: float
    """In nats; negative where the latent makes the token likelier."""


@dataclass(frozen=True, kw_only=True)
class Ablation:
    """One firing without the latent, everything else of the activation kept."""

    document: int
    position: int
    """Of the firing token, in its document."""
    decile: int
    """The tenth of the latent's activations it is from, 0 the weakest."""
    value: float
    """Activation of the firing token."""
    next_token: int
    next_text: str
    loss: float
    """Of predicting that token with the latent, in nats."""
    loss_change: float
    """Loss without the latent - loss; positive where the latent helps."""


@dataclass(frozen=True, kw_only=True)
class LatentEffects:
    """What the latent does for the next token: what changes when it alone is taken out, at the firing token alone."""

    n: int
    """Firings that were ablated (count), as many from each tenth of its activations."""
    loss_change: float | None
    """Mean change of the next token's loss, in nats; positive where the latent helps."""
    standard_error: float | None
    loss_change_by_decile: tuple[float | None, ...]
    """The same for each tenth, the weakest first; None where none of its firings was ablated."""
    risen: tuple[TokenChange, ...]
    """Tokens that are likelier without the latent, the most risen first."""
    fallen: tuple[TokenChange, ...]
    """Tokens that are less likely without it, the most fallen first."""
    ablations: tuple[Ablation, ...]
    """Each ablated firing, by decile."""
    why_missing: str | None
    """Why nothing could be ablated; None where something was."""


@dataclass(frozen=True, kw_only=True)
class LatentPage:
    """Everything the atlas knows of one latent."""

    key: str
    """The (SAE, part) in the atlas."""
    site: str
    latent: int
    n_latents: int
    stats: LatentStats
    why_missing: str | None
    """Why there are no examples; None where there are."""
    histogram: Histogram | None
    top: tuple[Example, ...]
    """The strongest examples, each of another document."""
    deciles: tuple[Decile, ...]
    """From the weakest tenth to the strongest."""
    top_logits: tuple[TokenLogit, ...]
    bottom_logits: tuple[TokenLogit, ...]
    why_no_logits: str | None
    coactive: tuple[Related, ...]
    """The latents that fire most often on the same tokens, by Jaccard index."""
    correlated: tuple[Related, ...]
    """The latents whose codes are most correlated with this one's, by the size of r."""
    neighbours: tuple[Related, ...]
    """The latents that write in the most similar direction, by cosine."""
    why_no_relations: str | None
    effects: LatentEffects | None
    why_no_effects: str | None
    explanations: tuple[Explanation, ...]
    scores: tuple[Score, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain dicts, lists and numbers."""
        return plain(self)


def plain(value: Any) -> Any:
    """A dataclass, tuple or number as JSON has it; NaN and infinities become None."""
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
