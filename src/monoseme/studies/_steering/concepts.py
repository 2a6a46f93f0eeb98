"""The tokens of a latent's concept, from text on which it fires: those that the text has more often than other text.

One rule for all latents. Windows hold the tokens around a firing, `first` to `last` counted from it. They are held against
windows at tokens drawn whatever fires there. Tokens are ranked by the log-likelihood ratio G2 of windows with and without them
(Dunning 1993): a token that is sure to belong comes before one that is only rare elsewhere. What the latent writes (its decoder,
its logits) is never looked at, so that steering with it cannot be right by construction.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from monoseme.core.errors import ConfigError

Ids = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class ConceptRule:
    """Which tokens stand for the concept of a latent."""

    first: int = 0
    """First token of a window, counted from the firing: 0 is the firing token, -2 the second before it."""
    last: int = 1
    """Last token of it: 1 is the next after the firing, which it may be about as well."""
    n_tokens: int = 5
    """Tokens that stand for the concept, at most (count)."""
    least_windows: int = 3
    """Windows at firings that must hold a token (count)."""
    least_documents: int = 2
    """Documents from which these windows must come (count)."""
    least_times: float = 3.0
    """How many times more often than in other windows it must be there (factor)."""

    def __post_init__(self) -> None:
        for name, least in (("n_tokens", 1), ("least_windows", 1), ("least_documents", 1)):
            if getattr(self, name) < least:
                raise ConfigError(f"concept.{name} is {getattr(self, name)}; it must be at least {least}")
        if self.first > self.last:
            raise ConfigError(f"concept.first is {self.first}; it must be at most concept.last, {self.last}")
        if self.least_times <= 1:
            raise ConfigError(f"concept.least_times is {self.least_times}; it must be above 1, or any token is of the concept")


class Concept(NamedTuple):
    """What is counted of a latent."""

    tokens: tuple[int, ...]
    """Token ids, those that tell most first."""
    share: float
    """Share of the tokens of other windows that these are, in [0, 1]."""
    n_windows: int
    """Windows at firings that they were found in (count)."""
    why_missing: str | None = None
    """Why there are no tokens."""


class Background(NamedTuple):
    """How often tokens are there whatever fires, arrays [V]."""

    windows: NDArray[np.int64]
    """Windows that hold the token (count)."""
    tokens: NDArray[np.int64]
    """Occurrences (count)."""
    n_windows: int


def background_of(windows: Sequence[Ids], *, n_vocabulary: int) -> Background:
    """Counts the windows at drawn tokens; a token counts once for each window that holds it."""
    held = np.concatenate([np.unique(window) for window in windows]) if windows else np.zeros(0, np.int64)
    every = np.concatenate(list(windows)) if windows else np.zeros(0, np.int64)
    counts = [np.bincount(ids, minlength=n_vocabulary) for ids in (held, every)]
    return Background(counts[0], counts[1], len(windows))


def concept_of(windows: Sequence[Ids], documents: Sequence[int], background: Background, rule: ConceptRule) -> Concept:
    """The tokens of one latent; `windows` are around its firings, in the documents given."""
    if len(windows) < rule.least_windows:
        return Concept((), 0.0, len(windows), f"only {len(windows)} of its firings are in the text that is measured on")
    if not background.n_windows:
        return Concept((), 0.0, len(windows), "the atlas has no other text to hold its firings against")
    n_held, n_documents = _counts(windows, documents)
    ids = np.array(sorted(n_held), dtype=np.int64)
    fired = np.array([n_held[int(i)] for i in ids], dtype=np.float64)
    spread = np.array([n_documents[int(i)] for i in ids])
    other = background.windows[ids].astype(np.float64)
    # half a window more on both sides: a token that other text never has would be infinitely many times more frequent
    times = ((fired + 0.5) / (len(windows) + 1)) / ((other + 0.5) / (background.n_windows + 1))
    fits = (fired >= rule.least_windows) & (spread >= rule.least_documents) & (times >= rule.least_times)
    if not fits.any():
        return Concept((), 0.0, len(windows), "no token stands out in the text on which it fires")
    told = log_likelihood_ratio(fired, len(windows), other, background.n_windows)
    order = np.lexsort((ids, -told))
    chosen = ids[[i for i in order if fits[i]][: rule.n_tokens]]
    share = float(background.tokens[chosen].sum() / background.tokens.sum())
    return Concept(tuple(chosen.tolist()), share, len(windows))


def log_likelihood_ratio(
    fired: NDArray[np.float64], n_fired: int, other: NDArray[np.float64], n_other: int
) -> NDArray[np.float64]:
    """G2 = 2 sum O ln(O / E) of the four cells of each table; 0 ln 0 is 0. [n] from counts [n] among n_fired and n_other."""
    observed = np.stack([fired, n_fired - fired, other, n_other - other])
    with_it, without = fired + other, n_fired + n_other - fired - other
    n = n_fired + n_other
    expected = np.stack([with_it * n_fired, without * n_fired, with_it * n_other, without * n_other]) / n
    terms = np.zeros_like(observed)
    there = observed > 0
    terms[there] = observed[there] * np.log(observed[there] / expected[there])
    return 2.0 * terms.sum(0)


def _counts(windows: Sequence[Ids], documents: Sequence[int]) -> tuple[dict[int, int], dict[int, int]]:
    """Token -> how many windows hold it, and from how many documents these are."""
    n_held: dict[int, int] = {}
    seen: dict[int, set[int]] = {}
    for window, document in zip(windows, documents, strict=True):
        for token in np.unique(window).tolist():
            n_held[token] = n_held.get(token, 0) + 1
            seen.setdefault(token, set()).add(document)
    return n_held, {token: len(found) for token, found in seen.items()}
