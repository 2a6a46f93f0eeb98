"""One setting of one latent: what is counted of the texts, how that compares with unsteered ones, and which strength is best.

A rate is (hits + h) / (tokens + h / r), where r is how frequent the concept's tokens are in other text: as if h hits
(`prior_hits`), with the text it takes to find them there, were added to both sides. Without it one hit would be infinitely more
than none.

Choosing the best of many strengths and reporting it on the same texts favours luck: the strength is chosen on one half of the
prompts, and reported on the other (as AxBench does, Wu et al. 2025, arXiv:2501.17148).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from monoseme.core.errors import ConfigError
from monoseme.studies._steering.texts import N_GRAMS, perplexity


@dataclass(frozen=True, kw_only=True)
class Measured:
    """One generated text."""

    text: str
    n_tokens: int
    """Generated tokens, the end token left out (count)."""
    n_scored: int
    """Generated tokens, the end token included (count); surprise and divergence are over these."""
    n_concept: int
    """Tokens of the concept among them (count)."""
    n_independent: int | None
    """Tokens on which a latent of the independent set fires (count); None: there is no such set."""
    surprise: float
    """Sum of -ln p under the unsteered model (nats)."""
    divergence: float
    """Sum over positions of KL(steered || unsteered) (nats)."""
    distinct: tuple[float | None, ...]
    """Share of distinct n-grams for each n of `N_GRAMS`; None for a text too short."""


@dataclass(frozen=True, kw_only=True)
class SuccessRule:
    """When steering works."""

    least_times: float = 3.0
    """How many times likelier the concept's tokens must become (factor)."""
    most_perplexity: float = 2.0
    """Perplexity under the unsteered model must be below this many times that of unsteered texts (factor)."""
    prior_hits: float = 1.0
    """Hits in other text that are added to both sides of a ratio (count)."""

    def __post_init__(self) -> None:
        if self.least_times <= 1 or self.most_perplexity <= 1 or self.prior_hits <= 0:
            raise ConfigError("success.least_times and success.most_perplexity must be above 1, success.prior_hits above 0")


class Outcome(NamedTuple):
    """A setting against unsteered texts of the same prompts and seeds."""

    times: float
    """How many times likelier the concept's tokens are (factor)."""
    rate: float
    """Share of generated tokens that are of the concept, without the prior, in [0, 1]."""
    independent_times: float | None
    """How many times more tokens the independent latents fire on (factor)."""
    perplexity: float
    perplexity_times: float
    """Perplexity as a multiple of that of the unsteered texts."""
    divergence: float
    """Mean KL(steered || unsteered) of a token (nats)."""
    distinct: tuple[float | None, ...]
    """Mean over texts, for each n of `N_GRAMS`."""
    n_tokens: int
    """Generated tokens (count)."""

    def succeeds(self, rule: SuccessRule) -> bool:
        """Whether the concept is there and the text is still one that the model could write."""
        return self.times >= rule.least_times and self.perplexity_times < rule.most_perplexity


def rate(hits: int, n_tokens: int, *, share: float, prior_hits: float) -> float:
    """(hits + h) / (tokens + h / r); `share` r is above 0."""
    return (hits + prior_hits) / (n_tokens + prior_hits / share)


def outcome_of(
    steered: Sequence[Measured], unsteered: Sequence[Measured], *, shares: tuple[float, float | None], rule: SuccessRule
) -> Outcome | None:
    """Compares texts; `shares`: how frequent the concept's tokens, and firings of the independent set, are in other text.

    None where no token was generated on one side: there is nothing to compare.
    """
    if not all(sum(text.n_scored for text in texts) for texts in (steered, unsteered)):
        return None
    share, independent_share = shares
    concept = [_rate([text.n_concept for text in texts], texts, share, rule) for texts in (steered, unsteered)]
    perplexities = [perplexity([t.surprise for t in texts], [t.n_scored for t in texts]) for texts in (steered, unsteered)]
    n_tokens = sum(text.n_tokens for text in steered)
    return Outcome(
        times=concept[0] / concept[1],
        rate=sum(text.n_concept for text in steered) / n_tokens if n_tokens else 0.0,
        independent_times=_independent(steered, unsteered, independent_share, rule),
        perplexity=perplexities[0],
        perplexity_times=perplexities[0] / perplexities[1],
        divergence=sum(text.divergence for text in steered) / sum(text.n_scored for text in steered),
        distinct=tuple(_mean([text.distinct[i] for text in steered]) for i in range(len(N_GRAMS))),
        n_tokens=n_tokens,
    )


def _rate(hits: Sequence[int], texts: Sequence[Measured], share: float, rule: SuccessRule) -> float:
    return rate(sum(hits), sum(text.n_tokens for text in texts), share=share, prior_hits=rule.prior_hits)


def _independent(
    steered: Sequence[Measured], unsteered: Sequence[Measured], share: float | None, rule: SuccessRule
) -> float | None:
    hits = [[text.n_independent for text in texts if text.n_independent is not None] for texts in (steered, unsteered)]
    if not share or len(hits[0]) < len(steered) or len(hits[1]) < len(unsteered):
        return None
    return _rate(hits[0], steered, share, rule) / _rate(hits[1], unsteered, share, rule)


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


class Best(NamedTuple):
    """The strength of one way of steering one latent."""

    strength: float | None
    """Chosen on the first half of the prompts; None: no strength keeps perplexity there."""
    chosen_on: Outcome | None
    """At that strength, on the half that it was chosen on."""
    reported: Outcome | None
    """On the other half."""
    exists: float | None
    """The weakest strength that succeeds on all prompts; None where none does."""


def best_of(
    cells: Sequence[tuple[float, Sequence[Measured]]],
    unsteered: Sequence[Measured],
    *,
    shares: tuple[float, float | None],
    rule: SuccessRule,
) -> Best:
    """Of strengths with their texts, one for each prompt in one order: the one that makes the concept likeliest while perplexity
    stays below the bound, on the even prompts; of equal ones the weakest. Reported on the odd ones."""

    def compared(texts: Sequence[Measured], every: slice) -> Outcome | None:
        return outcome_of(texts[every], unsteered[every], shares=shares, rule=rule)

    first, second = slice(0, None, 2), slice(1, None, 2)
    weakest_first = sorted(cells, key=lambda cell: abs(cell[0]))
    whole = [(strength, compared(texts, slice(None))) for strength, texts in weakest_first]
    exists = next((strength for strength, found in whole if found is not None and found.succeeds(rule)), None)
    tried = [(strength, texts, compared(texts, first)) for strength, texts in weakest_first]
    able = [(s, t, found) for s, t, found in tried if found is not None and found.perplexity_times < rule.most_perplexity]
    if not able:
        return Best(None, None, None, exists)
    strength, texts, chosen_on = max(able, key=lambda each: each[2].times)  # the first of equal ones: the weakest
    return Best(strength, chosen_on, compared(texts, second), exists)
