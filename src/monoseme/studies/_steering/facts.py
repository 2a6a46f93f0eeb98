"""One pass over text that the run held out: what steering is measured in, differences of means, and the independent latents.

Letters: Z chosen latents, T tokens of a chunk, D width, G latents of another SAE.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from monoseme.atlas.split import is_heldout
from monoseme.core.display import AtMost, get_display
from monoseme.core.errors import UndefinedMetricError
from monoseme.evaluation._csr import Csr, as_csr
from monoseme.studies._workbench import Coded, Subject, Workbench

Floats = NDArray[np.float64]
_LEAST_FIRINGS = 5
"""Tokens with a firing that a mean needs (count)."""


class Partners(NamedTuple):
    """The latents of another SAE that go with one latent."""

    latents: tuple[int, ...]
    """Those of the largest correlation first."""
    correlations: tuple[float, ...]
    density: float
    """At most this share of the text's tokens has a firing of any of them: the sum of their densities, at most 1."""


class SiteFacts(NamedTuple):
    """What the pass found."""

    mean_norm: float
    """Mean length of the activations at the site of the latents."""
    differences: Mapping[int, Floats | None]
    """Latent -> mean activation where it fires less that where it does not, [D]; None where it fires too seldom."""
    partners: Mapping[str, Mapping[int, Partners]]
    """Other SAE -> latent -> its partners; without an entry it has none."""
    n_tokens: int


class CorrelationSums:
    """Sums for Pearson's correlation of Z latents with all G of another SAE, in float64 from sparse codes."""

    def __init__(self, n_chosen: int, n_others: int) -> None:
        self._n = 0
        self._products = np.zeros((n_chosen, n_others))
        self._sums = (np.zeros(n_chosen), np.zeros(n_others))
        self._squares = (np.zeros(n_chosen), np.zeros(n_others))
        self._n_fired = np.zeros(n_others, dtype=np.int64)

    def add(self, chosen: Floats, others: Csr) -> None:
        """Tokens: codes [T, Z], dense, and [T, G]."""
        self._n += len(chosen)
        self._products += np.asarray((others.T @ chosen).T)
        for sums, power in ((self._sums, 1), (self._squares, 2)):
            sums[0][:] += (chosen**power).sum(0)
            sums[1][:] += np.asarray(others.power(power).sum(0)).ravel()
        self._n_fired += np.bincount(others.indices[others.data > 0], minlength=others.shape[1])

    def correlations(self) -> Floats:
        """[Z, G]; 0 where either never changes."""
        spread = [
            np.sqrt(np.maximum(q / self._n - (s / self._n) ** 2, 0.0)) for s, q in zip(self._sums, self._squares, strict=True)
        ]
        covariance = self._products / self._n - np.outer(self._sums[0], self._sums[1]) / self._n**2
        scale = np.outer(*spread)
        return np.divide(covariance, scale, out=np.zeros_like(covariance), where=scale > 0)

    def partners(self, *, most: int, least_correlation: float) -> list[Partners | None]:
        """Of each chosen latent; None where no latent of the other SAE is correlated enough."""
        density = self._n_fired / self._n
        made: list[Partners | None] = []
        for row in self.correlations():
            best = np.argsort(-row, kind="stable")[:most]
            best = best[row[best] >= least_correlation]
            held = Partners(tuple(best.tolist()), tuple(row[best].tolist()), min(1.0, float(density[best].sum())))
            made.append(held if len(best) else None)
        return made


class _Sums:
    """Sums of activations where latents fire, and everywhere."""

    def __init__(self, n_chosen: int, width: int) -> None:
        self.n, self.n_fired = 0, np.zeros(n_chosen, dtype=np.int64)
        self.fired, self.every, self.norm = np.zeros((n_chosen, width)), np.zeros(width), 0.0

    def add(self, x: Floats, chosen: Floats) -> None:
        fires = chosen > 0
        self.n += len(x)
        self.n_fired += fires.sum(0)
        self.fired += fires.T.astype(np.float64) @ x
        self.every += x.sum(0)
        self.norm += float(np.linalg.norm(x, axis=1).sum())

    def difference(self, i: int) -> Floats | None:
        n, n_silent = int(self.n_fired[i]), self.n - int(self.n_fired[i])
        if n < _LEAST_FIRINGS or not n_silent:
            return None
        return self.fired[i] / n - (self.every - self.fired[i]) / n_silent


def read_facts(
    bench: Workbench,
    subject: Subject,
    latents: Sequence[int],
    others: Sequence[Subject],
    *,
    max_tokens: int,
    most_partners: int,
    least_correlation: float,
) -> SiteFacts:
    """Reads the text once. Documents that concepts are found in are left out.

    Raises UndefinedMetricError where no token is left.
    """
    sums = _Sums(len(latents), subject.sae.d_in)
    correlated = {other.name: CorrelationSums(len(latents), other.sae.n_latents) for other in others}
    with get_display().progress(f"facts of {subject.name}", total=AtMost(max_tokens), unit="tokens") as progress:
        for coded in bench.coded(bench.source, max_tokens=max_tokens):
            explains = _explains(coded)
            chosen = as_csr(coded.codes[subject.name])[:, list(latents)].toarray()[explains]
            sums.add(_rows(coded, subject)[explains], chosen)
            for name, held in correlated.items():
                held.add(chosen, as_csr(coded.codes[name])[np.flatnonzero(explains)])
            progress.advance(int(coded.chunk.text.mask.sum()))
    if not sums.n:
        raise UndefinedMetricError("the run held out no document that concepts are not found in.\n  Name a text with --corpus")
    found = {name: held.partners(most=most_partners, least_correlation=least_correlation) for name, held in correlated.items()}
    return SiteFacts(
        mean_norm=sums.norm / sums.n,
        differences={latent: sums.difference(i) for i, latent in enumerate(latents)},
        partners={name: {z: p for z, p in zip(latents, each, strict=True) if p is not None} for name, each in found.items()},
        n_tokens=sums.n,
    )


def _explains(coded: Coded) -> NDArray[np.bool_]:
    """[T]: tokens of documents that no concept is found in."""
    text = coded.chunk.text
    return ~is_heldout(text.documents[text.mask].cpu().numpy().astype(np.int64))


def _rows(coded: Coded, subject: Subject) -> Floats:
    x = coded.chunk.activations[subject.sites[0]]
    return x[coded.chunk.text.mask.to(x.device)].to("cpu", torch.float64).numpy()
