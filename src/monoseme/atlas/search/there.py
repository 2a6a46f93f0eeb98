"""Which latents fire where a phrase stands: exactly, on the tokens whose codes were kept, and by the examples that are shown.

Letters: M matches, F latents, E codes.
"""

import functools
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from monoseme.atlas.kept_codes import KeptCodes
from monoseme.atlas.latents import Latents
from monoseme.atlas.search.phrases import Matches
from monoseme.atlas.text_store import TextStore


class FiringThere(NamedTuple):
    """What one latent does where the phrase stands."""

    latent: int
    n_matches: int | None
    """Matches with kept codes on which it fires (count); None where no match has codes."""
    share: float | None
    """Of the matches with kept codes, those on which it fires; None where there are none."""
    density: float
    """Of all tokens, those on which it fires: what a share is to be held against."""
    mean_max: float | None
    """Mean over the matches on which it fires of its largest activation there; None where it fires on none."""
    n_examples: int
    """Its strongest examples whose firing token is in a match (count)."""


class LatentsThere(NamedTuple):
    """The latents that fire where a phrase stands."""

    n_matches: int
    """Places of the phrase in the text (count)."""
    n_with_codes: int
    """Those in contexts whose codes were kept (count)."""
    why_missing: str | None
    """Why no share is known; None where it is."""
    latents: tuple[FiringThere, ...]
    """Those whose share is furthest above their density first, then by their examples there, then by number."""


def latents_there(latents: Latents, text: TextStore, matches: Matches, *, n: int = 20) -> LatentsThere:
    """The `n` latents that go most with the matches of a phrase. A latent fires on a match if it does on any of its tokens."""
    match_of = _match_of(text, matches)
    n_examples = _examples_there(latents, text, match_of)
    density = latents.densities()
    kept = latents.kept_codes()
    if kept is None:
        why, counts, sums, n_with_codes = "this atlas kept no codes", np.zeros_like(n_examples), np.zeros(len(density)), 0
    else:
        counts, sums, n_with_codes = _fired(kept, text, match_of)
        why = None if n_with_codes else "no match lies in a context whose codes were kept"
    share = counts / max(n_with_codes, 1)
    order = np.lexsort((np.arange(len(share)), -n_examples, -np.where(counts > 0, share - density, 0.0)))
    chosen = [int(j) for j in order[:n] if counts[j] or n_examples[j]]
    found = [
        FiringThere(
            latent=j,
            n_matches=int(counts[j]) if n_with_codes else None,
            share=float(share[j]) if n_with_codes else None,
            density=float(density[j]),
            mean_max=float(sums[j] / counts[j]) if counts[j] else None,
            n_examples=int(n_examples[j]),
        )
        for j in chosen
    ]
    return LatentsThere(len(matches.offset), n_with_codes, why, tuple(found))


def _match_of(text: TextStore, matches: Matches) -> NDArray[np.int32]:
    """The match each token of the text belongs to, -1 for none; of overlapping ones the last."""
    found = np.full(text.n_tokens, -1, dtype=np.int32)
    length = int(matches.n_tokens.max()) if len(matches.n_tokens) else 0
    for place in range(length):
        reaches = np.nonzero(matches.n_tokens > place)[0]
        found[matches.offset[reaches] + place] = reaches
    return found


def _examples_there(latents: Latents, text: TextStore, match_of: NDArray[np.int32]) -> NDArray[np.int64]:
    """[F] how many of each latent's strongest examples are in a match."""
    top = _top_examples(latents.artifact.file("examples.parquet"), latents.content_hash)
    here = match_of[text.offsets_of(top.document, top.position)] >= 0
    return np.bincount(top.latent[here], minlength=latents.n_latents)


class _TopExamples(NamedTuple):
    """The firing tokens of the strongest examples of all latents, [N]."""

    latent: NDArray[np.int32]
    document: NDArray[np.int64]
    position: NDArray[np.int64]


@functools.lru_cache(maxsize=4)
def _top_examples(path: Path, content_hash: str) -> _TopExamples:
    """A viewer asks for one phrase after another, and reading takes a second of a wide SAE; the hash tells scans apart."""
    del content_hash
    table = pq.read_table(path, columns=["decile", *_TopExamples._fields])
    is_top = table["decile"].is_null().to_numpy()
    return _TopExamples(*(table[name].to_numpy()[is_top] for name in _TopExamples._fields))


class _Fired(NamedTuple):
    counts: NDArray[np.int64]
    """[F] matches on which each latent fires."""
    sums: NDArray[np.float64]
    """[F] sum over them of its largest activation there."""
    n_with_codes: int


def _fired(kept: KeptCodes, text: TextStore, match_of: NDArray[np.int32]) -> _Fired:
    match = match_of[text.offsets_of(np.asarray(kept.document), np.asarray(kept.position))]
    rows = np.nonzero(match >= 0)[0]
    begin, n_codes = kept.token_offsets[rows], np.diff(kept.token_offsets)[rows]
    at = np.arange(int(n_codes.sum())) + np.repeat(begin - np.cumsum(n_codes) + n_codes, n_codes)
    latent, value = kept.token_latents[at].astype(np.int64), kept.token_values[at]
    of_match = np.repeat(match[rows], n_codes).astype(np.int64)
    fires = value > 0
    pair, which = np.unique(of_match[fires] * kept.n_latents + latent[fires], return_inverse=True)
    largest = np.zeros(len(pair), dtype=np.float32)
    np.maximum.at(largest, which, value[fires])
    of_pair = pair % kept.n_latents
    counts = np.bincount(of_pair, minlength=kept.n_latents)
    sums = np.bincount(of_pair, weights=largest.astype(np.float64), minlength=kept.n_latents).astype(np.float64)
    return _Fired(counts, sums, len(np.unique(match[rows])))
