"""Searches that rank latents: by the words or the meaning of what is said of them, by the text on which they fire."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from monoseme.atlas import Atlas
from monoseme.atlas.search import find_phrase, latents_there
from monoseme.core.errors import ConfigError
from monoseme.web.latents.answers import LatentColumn, Search
from monoseme.web.run_files import BadRequestError

_BM25 = LatentColumn(name="relevance", definition="How well the explanation goes with the words (BM25, at least 0).")
_COSINE = LatentColumn(name="nearness", definition="Cosine of the explanation's vector and that of the words, in [-1, 1].")
_THERE = (
    LatentColumn(
        name="fires_there",
        definition="Share of the phrase's places on which it fires, of those whose codes were kept. Hold it against the density.",
    ),
    LatentColumn(name="max_there", definition="Mean of its largest activation on the places on which it fires."),
    LatentColumn(name="examples_there", definition="How many of its strongest examples fire inside the phrase."),
)


class Found(NamedTuple):
    """The latents a search found."""

    latents: NDArray[np.int64]
    """Indices, the best first."""
    values: dict[str, NDArray[np.float64]]
    """The columns of the search, in the order of `latents`; NaN where a number is missing."""
    search: Search


def found_by_score(scores: NDArray[np.float64], latents: NDArray[np.int64], *, by_meaning: bool, most: int) -> Found:
    """The `most` latents whose explanations score best; by words, only those that hold one of them."""
    order = np.argsort(-scores, kind="stable")[:most]
    order = order if by_meaning else order[scores[order] > 0]
    column = _COSINE if by_meaning else _BM25
    search = Search(by="meaning" if by_meaning else "words", n_found=len(order), columns=[column])
    return Found(latents[order], {column.name: scores[order]}, search)


def found_by_text(atlas: Atlas, sae: str, phrase: str) -> Found:
    """The latents that go with the places of a phrase in the scanned text. Raises BadRequestError for what is no phrase."""
    try:
        matches = find_phrase(atlas.text, phrase)
    except ConfigError as error:
        raise BadRequestError(f"q: {error}") from error
    latents = atlas.latents(sae)
    there = latents_there(latents, atlas.text, matches, n=latents.n_latents)
    numbers = ((one.share, one.mean_max, float(one.n_examples)) for one in there.latents)
    values = np.array([[np.nan if number is None else number for number in row] for row in numbers]).reshape(-1, len(_THERE))
    search = Search(
        by="text",
        n_found=len(there.latents),
        n_matches=there.n_matches,
        n_with_codes=there.n_with_codes,
        why_missing=there.why_missing,
        columns=list(_THERE),
    )
    named = {column.name: values[:, i] for i, column in enumerate(_THERE)}
    return Found(np.array([one.latent for one in there.latents], dtype=np.int64), named, search)
