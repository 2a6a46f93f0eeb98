"""Which latents are a letter's own in a dictionary, and which words may be absorbed: those that its probe finds and they miss.

Letters: N words, D width, F latents.
Source: Chanin et al. 2024, arXiv:2409.14507, and its code (`k_sparse_probing.py`, `feature_absorption.py`).
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from monoseme.evaluation._csr import Csr
from monoseme.models import Site
from monoseme.probes import LinearProbe, ProbeScores, SparseProbe
from monoseme.probes.sparse import columns_of
from monoseme.studies._first_letter.latent_probes import ClassProbes, LatentProbes
from monoseme.tensors.shapes import Float, Tensor

Ints = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Words:
    """The words of a study at one site, with their letters' probe."""

    words: tuple[str, ...]
    labels: tuple[str, ...]
    """First letter, or whatever the task asks."""
    prompts: tuple[str, ...]
    is_test: NDArray[np.bool_]
    """[N] which words train no probe."""
    x: Float[Tensor, "N D"]
    probe: LinearProbe
    scores: tuple[ProbeScores, ...]
    """Of the probe on the words of the test."""

    def f1(self, letter: str) -> float | None:
        """Of a letter's probe."""
        return next((each.f1 for each in self.scores if each.name == letter), None)

    def true_positives(self, letter: str) -> Ints:
        """Words of the test that the probe rightly says to be of the letter."""
        said = self.probe.says(self.x)[:, self.probe.index(letter)].cpu().numpy()
        return np.flatnonzero(self.is_test & said & (np.asarray(self.labels) == letter))


@dataclass(frozen=True, eq=False)
class Dictionary:
    """What a dictionary makes of the words."""

    name: str
    site: Site
    codes: Csr
    """[N, F]"""
    writes: Float[Tensor, "F D"]
    """What a code of 1 adds to the reconstruction."""
    probes: LatentProbes
    """Sparse probes of the letters, fitted on words that are not for the test."""


class LetterLatents(NamedTuple):
    """The main latents of a letter, and how well they alone tell it."""

    letter: str
    main: tuple[int, ...]
    f1_of_one: float | None
    """F1 of the probe of the first latent alone."""
    f1: float | None
    """F1 of the probe of all main latents."""
    probe: SparseProbe


def latents_of(letter: str, found: ClassProbes) -> LetterLatents:
    """The latents that the letter is split into; the first one where no probe of it has an F1."""
    n = max(len(found.split.latents), 1)
    return LetterLatents(letter, found.order[:n], found.scores[1].f1, found.scores[n].f1, found.probes[n])


def missed(found: LetterLatents, codes: Csr, of: Ints) -> Ints:
    """Those of the words `of` that the sparse probe of the main latents does not give the letter."""
    return of[found.probe.score(columns_of(codes[of], found.main)) <= 0]
