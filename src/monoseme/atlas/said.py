"""What is said of latents: explanations, and the scores that measure them."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Condition:
    """Something that is true of a token or not, decided from the text alone."""

    family: str
    """Which kind of sign: one of `explain._features.FAMILIES`."""
    code: int
    """The sign itself, as the family numbers it; the same in every process."""
    text: str
    """The sign as people read it."""


@dataclass(frozen=True, kw_only=True)
class Rule:
    """A condition and how it goes with the latent's firings, on the documents that explain."""

    condition: Condition
    recall: float
    """Share of firings on which the condition holds, in [0, 1]."""
    adds: float
    """Share of firings that this rule matches and no rule before it does, in [0, 1]."""
    false_rate: float
    """Share of sampled tokens without a firing on which it holds, in [0, 1]."""
    precision: float
    """Share of the tokens it holds on that fire, in [0, 1], from recall, false_rate (smoothed by half a token) and density."""


@dataclass(frozen=True, kw_only=True)
class Explanation:
    """What one explainer says of one latent."""

    latent: int
    text: str | None
    """None where there is nothing to explain."""
    why_missing: str | None = None
    rules: tuple[Rule, ...] = ()
    """The latent is said to fire where any of these holds; empty where the explanation is text alone."""
    habits: tuple[Rule, ...] = ()
    """What is also true of most firings; told, not used to predict."""
    n_firings: int = 0
    """Firings it was made from (count)."""
    n_background: int = 0
    """Tokens without a firing it was made from (count)."""
    details: str = "{}"
    """What else the explainer said, as a JSON object: key words, themes, certainty, the judge's reasoning."""
    source: str = ""
    """Label of the annotation it was read from; empty before it is stored."""


@dataclass(frozen=True, kw_only=True)
class Score:
    """One number about one explanation of one latent."""

    latent: int
    name: str
    """Which number; the scorer's manifest defines it."""
    value: float | None
    """None where it cannot be known."""
    why_missing: str | None = None
    n: int = 0
    """Held-out firings it rests on (count)."""
    standard_error: float | None = None
    low: float | None = None
    """Lower end of its 95 % interval, by a bootstrap over documents."""
    high: float | None = None
    """Upper end of it."""
    decile: int | None = None
    """The tenth of the latent's activations that its firings are from, 0 the weakest; None: all of them."""
    source: str = ""
    """Label of the annotation it was read from; empty before it is stored."""
