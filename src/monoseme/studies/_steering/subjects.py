"""Which latents are steered with: drawn by seed among those that an atlas explains well; with their concepts, found in its text.

Concepts are found in the documents that scores are measured on, and what is made of latents (excerpts to prompt with, directions
that are differences of means) in the others: see `monoseme.atlas.split`.
"""

import functools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from monoseme.atlas import Atlas
from monoseme.atlas.annotations import read_explanations, read_scores
from monoseme.atlas.evidence import Evidence, Places
from monoseme.atlas.excerpts import Excerpts
from monoseme.atlas.latents import Latents
from monoseme.atlas.split import is_heldout
from monoseme.atlas.text_store import TextStore
from monoseme.core.errors import ConfigError
from monoseme.core.seeds import derive_seed
from monoseme.studies._steering.concepts import Background, Concept, ConceptRule, background_of, concept_of

_SCORE = "auroc"


class Wanted(NamedTuple):
    """Which latents of an SAE are steered with."""

    n_latents: int
    """Drawn of those that fit; fewer where not so many do (count)."""
    latents: tuple[int, ...]
    """Named ones, which are then all, whatever their scores; empty: drawn."""
    least_auroc: float
    density: tuple[float, float]
    """Lowest and highest share of tokens on which a latent may fire."""
    seed: int


class SteeredLatent(NamedTuple):
    """A latent with what the atlas knows of it."""

    latent: int
    explanation: str | None
    auroc: float | None
    density: float
    maximum: float
    """Largest activation in the text of the atlas, in the unit of the codes."""
    concept: Concept


class LatentsOfAtlas:
    """The latents of one SAE in an atlas, as the study needs them."""

    def __init__(self, atlas: Atlas, key: str, rule: ConceptRule) -> None:
        self.atlas, self._key, self._rule = atlas, key, rule
        self._latents: Latents = atlas.latents(key)
        self._evidence = Evidence(self._latents, atlas.text)

    def chosen(self, wanted: Wanted) -> list[SteeredLatent]:
        """Ascending by number. Raises ConfigError where the atlas has no scores, or no latent that fits."""
        aurocs = self._aurocs()
        if wanted.latents:
            for latent in wanted.latents:
                self._latents.check_latent(latent)
            numbers = sorted(set(wanted.latents))
        else:
            numbers = draw(self._fitting(wanted, aurocs), n_all=self._latents.n_latents, wanted=wanted)
        explained = self._explanations()
        return [self._one(latent, explained.get(latent), aurocs.get(latent)) for latent in numbers]

    def excerpt(self, latent: int, n: int) -> list[int]:
        """Tokens of the n excerpts on which it fires most, one after the other; none of them is from text measured on."""
        found = Excerpts(self._evidence).top(latent, n, heldout=False)
        return [token for excerpt in found for token in excerpt.tokens]

    def _fitting(self, wanted: Wanted, aurocs: dict[int, float]) -> list[int]:
        if not aurocs:
            raise ConfigError(
                f"the atlas has no {_SCORE} of the latents of {self._key}, by which they are chosen.\n"
                "  Score them with:  monoseme score RUN   or name latents with  --latents 3,17"
            )
        low, high = wanted.density
        density = self._latents.densities()
        fitting = [i for i, score in aurocs.items() if score >= wanted.least_auroc and low <= density[i] <= high]
        if not fitting:
            raise ConfigError(
                f"no latent of {self._key} has an {_SCORE} of at least {wanted.least_auroc} and a density from {low} to {high}.\n"
                "  Lower --least_auroc, widen --density, or name latents with  --latents 3,17"
            )
        return fitting

    def _one(self, latent: int, explanation: str | None, auroc: float | None) -> SteeredLatent:
        row = self._latents.row(latent)
        if row["max"] is None:
            raise ConfigError(f"latent {latent} of {self._key} never fired on the text of the atlas: there is no unit for it")
        places = self._evidence.firings(latent, heldout=True)
        windows = self._windows(places)
        concept = concept_of(windows, places.document.tolist(), self._background, self._rule)
        return SteeredLatent(latent, explanation, auroc, float(row["density"]), float(row["max"]), concept)

    @functools.cached_property
    def _background(self) -> Background:
        text = self.atlas.text
        return background_of(self._windows(self._evidence.background(heldout=True)), n_vocabulary=len(text.vocabulary))

    def _windows(self, places: Places) -> list[NDArray[np.int64]]:
        return windows_at(self.atlas.text, places, first=self._rule.first, last=self._rule.last)

    def _aurocs(self) -> dict[int, float]:
        """Of the newest scores that have them."""
        for part in self.atlas.annotations(self._key):
            if part.holds == "scores":
                told = {s.latent: s.value for s in read_scores(part) if s.name == _SCORE and s.decile is None}
                known = {latent: value for latent, value in told.items() if value is not None}
                if known:
                    return known
        return {}

    def _explanations(self) -> dict[int, str]:
        """The newest of each latent."""
        parts = [part for part in self.atlas.annotations(self._key) if part.holds == "explanations"]
        return {e.latent: e.text for part in reversed(parts) for e in read_explanations(part) if e.text is not None}


def draw(fitting: Sequence[int], *, n_all: int, wanted: Wanted) -> list[int]:
    """n of the latents that fit, ascending; a larger draw of the same seed holds the smaller one."""
    order = np.random.default_rng(derive_seed(wanted.seed, "steering", "latents")).permutation(n_all)
    allowed = np.zeros(n_all, dtype=bool)
    allowed[list(fitting)] = True
    return np.sort(order[allowed[order]][: wanted.n_latents]).tolist()


def windows_at(text: TextStore, places: Places, *, first: int, last: int) -> list[NDArray[np.int64]]:
    """The tokens from `first` to `last` counted from each place, as far as its segment goes, without those that no SAE sees."""
    made: list[NDArray[np.int64]] = []
    for document, position in zip(places.document.tolist(), places.position.tolist(), strict=True):
        window = text.window(document, position, left=max(0, -first), right=max(0, last))
        offsets = np.arange(len(window.tokens)) - window.focus
        made.append(window.tokens[window.mask & (offsets >= first) & (offsets <= last)])
    return made


def starts_of(text: TextStore, *, n: int, n_tokens: int, seed: int) -> list[list[int]]:
    """The first tokens of n documents drawn from those that no concept is found in, no two with the same first half.

    Fewer where not so many begin differently.
    """
    places = text.places_at(np.arange(text.n_tokens))
    begins = np.unique(places.document[places.position == 0])
    allowed = begins[~is_heldout(begins)]
    drawn = np.random.default_rng(derive_seed(seed, "steering", "prompts")).permutation(allowed)
    made: dict[tuple[int, ...], list[int]] = {}
    for document in drawn.tolist():
        window = text.window(document, 0, left=0, right=n_tokens - 1)
        tokens = window.tokens.tolist()
        if len(tokens) == n_tokens and bool(window.mask.all()):
            made.setdefault(tuple(tokens[: (n_tokens + 1) // 2]), tokens)
        if len(made) == n:
            break
    return list(made.values())
