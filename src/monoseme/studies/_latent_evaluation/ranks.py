"""The latents of a letter that lie nearest to its probe, and how well each of them alone tells the letter.

Letters: N test words, C classes, D width, F latents.
"""

from typing import NamedTuple

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from monoseme.probes import LinearProbe, ProbeScores, cosines, scores_of, top_latents
from monoseme.probes.scores import area_under_roc
from monoseme.probes.sparse import columns_of

Floats = NDArray[np.float64]


class Directions(NamedTuple):
    """What latents read and write."""

    encoder: Floats | None
    """[F, D]; None where the encoder is not linear."""
    decoder: Floats
    """[F, D]"""


class RankedLatent(NamedTuple):
    """One of the latents nearest to a letter's probe."""

    letter: str
    rank: int
    """From 0, the nearest."""
    latent: int
    cos_enc: float | None
    cos_dec: float
    scores: ProbeScores
    """Of its code: the letter is said where the latent fires."""
    auc_read: float | None
    """AUROC of what its encoder reads (x . w), which tells words apart also where it is silent; None without such an encoder."""


class HeldOutWords(NamedTuple):
    """The N words of the test side."""

    x: Floats
    """[N, D]"""
    codes: sp.csr_array
    """[N, F]"""
    truth: NDArray[np.bool_]
    """[N, C'] of the probe's classes."""


def ranked_latents(probe: LinearProbe, directions: Directions, words: HeldOutWords, *, n_latents: int) -> list[RankedLatent]:
    """The `n_latents` of each class with the largest cosine of encoder (else decoder) and probe, scored on the words."""
    written = cosines(probe, directions.decoder)
    read = None if directions.encoder is None else cosines(probe, directions.encoder)
    columns = sp.csc_array(words.codes)
    found: list[RankedLatent] = []
    for i, latents in enumerate(top_latents(written if read is None else read, n_latents)):
        truth = words.truth[:, i]
        codes = columns_of(columns, latents.tolist())
        for rank, latent in enumerate(latents.tolist()):
            found.append(
                RankedLatent(
                    letter=probe.classes[i],
                    rank=rank,
                    latent=latent,
                    cos_enc=None if read is None else float(read[i, latent]),
                    cos_dec=float(written[i, latent]),
                    scores=scores_of(codes[:, rank], truth, probe.classes[i]),
                    auc_read=_auc_of_read(directions.encoder, words, latent, truth),
                )
            )
    return found


def _auc_of_read(encoder: Floats | None, words: HeldOutWords, latent: int, truth: NDArray[np.bool_]) -> float | None:
    if encoder is None or not 0 < truth.sum() < len(truth):
        return None
    return area_under_roc(words.x @ encoder[latent], truth)
