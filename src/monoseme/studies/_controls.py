"""Dictionaries that learned nothing, to hold trained SAEs against: random directions, and principal components.

Letters: N rows, D width.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch

from monoseme.models import Site
from monoseme.saes import SAE
from monoseme.saes.pca import PCA
from monoseme.saes.random import Random
from monoseme.studies._workbench import Subject, Workbench
from monoseme.tensors.shapes import Float, Tensor

RANDOM, COMPONENTS = "random dictionary", "PCA"


class Sample(NamedTuple):
    """What a control at a site is made from: activations there, and the size that it shall have."""

    site: Site
    x: Float[Tensor, "N D"]
    widest: Subject
    """The SAE there of most latents."""
    k: int
    """Latents on at a token: the median over the SAEs there of their means (count, at least 1)."""


def random_dictionary(x: Float[Tensor, "N D"], *, n_latents: int, k: int, seed: int) -> SAE:
    """Random unit directions, the k strongest of each row kept, its size fitted to `x`; `seed` may be any integer from 0."""
    return _fitted(Random(Random.Config(n_latents=n_latents, d_in=x.shape[1], k=min(k, n_latents), seed=seed % 2**31)), x)


def components(x: Float[Tensor, "N D"], *, n_latents: int, k: int) -> SAE:
    """The first principal components of `x`, at most D, the k largest in size of each row kept."""
    n = min(n_latents, x.shape[1])
    return _fitted(PCA(PCA.Config(n_latents=n, d_in=x.shape[1], k=min(k, n))), x)


def samples_of(bench: Workbench, subjects: Sequence[Subject], *, max_tokens: int) -> list[Sample]:
    """For each site that one of the subjects reads, the first tokens of the study's text. Every subject must read one site."""
    xs: dict[Site, list[Tensor]] = {subject.sites[0]: [] for subject in subjects}
    n_active: dict[str, int] = {subject.name: 0 for subject in subjects}
    for coded in bench.coded(bench.source, max_tokens=max_tokens) if xs else ():
        for site, held in xs.items():
            held.append(coded.chunk.activations[site][coded.chunk.text.mask].cpu())
        for name in n_active:
            n_active[name] += coded.codes[name].nnz
    return [_sample(site, torch.cat(x), [s for s in subjects if s.sites[0] == site], n_active) for site, x in xs.items()]


def _sample(site: Site, x: Tensor, there: Sequence[Subject], n_active: dict[str, int]) -> Sample:
    k = float(np.median([n_active[subject.name] for subject in there])) / len(x)
    return Sample(site, x, max(there, key=lambda subject: subject.sae.n_latents), max(1, round(k)))


def _fitted(sae: SAE, x: Float[Tensor, "N D"]) -> SAE:
    sae.start(x)
    return sae.export()
