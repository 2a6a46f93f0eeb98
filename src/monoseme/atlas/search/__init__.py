"""Finding latents: by what is said of them, by the text on which they fire, by their statistics. Needs no network, and no torch
but for the search by meaning."""

from monoseme.atlas.search.explanations import ExplanationHit, search_by_meaning, search_explanations
from monoseme.atlas.search.phrases import Matches, find_phrase
from monoseme.atlas.search.statistics import Condition, parse_condition
from monoseme.atlas.search.there import FiringThere, LatentsThere, latents_there

__all__ = [
    "Condition",
    "ExplanationHit",
    "FiringThere",
    "LatentsThere",
    "Matches",
    "find_phrase",
    "latents_there",
    "parse_condition",
    "search_by_meaning",
    "search_explanations",
]
