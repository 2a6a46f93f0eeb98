"""What latents write, as a map: which directions of the decoder are drawn, and what is known of each latent."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from monoseme.core.seeds import derive_seed
from monoseme.evaluation import directions_of
from monoseme.studies._maps.tokens import MapTokens
from monoseme.studies._texts import Ids, TextContexts
from monoseme.studies._workbench import Subject, Workbench

_SEVERAL = "several"
"""Part of a latent that fires in more than one."""


class Directions(NamedTuple):
    """Some latents of one SAE."""

    rows: NDArray[np.float64]
    """[M, D] of length 1."""
    latent: NDArray[np.int64]
    """[M]"""
    group: list[str | None] | None
    """[M] part of the code that it belongs to; None where no parts were asked for."""
    density: NDArray[np.float64]
    """[M] share of tokens on which it fires."""
    layer: NDArray[np.float64] | None
    """[M] mean site, weighted by activation, counted from 0; None where the SAE has one code."""
    n_silent: int
    """Latents that never fired, which are left out."""


def directions(subjects: Sequence[Subject], tokens: MapTokens, sites: Mapping[str, NDArray[np.float64]], *, most: int, seed: int
               ) -> Directions:  # fmt: skip
    """Directions of latents that fire in any of the subjects, which are parts of one SAE; at most so many, drawn."""
    sae = subjects[0].sae
    n_firings = np.max([tokens.n_firings[subject.name] for subject in subjects], axis=0)
    rows = directions_of(sae, n_sites=len(subjects[0].sites)).numpy()
    fire = np.flatnonzero((n_firings > 0) & rows.any(axis=1))
    chosen = np.sort(np.random.default_rng(derive_seed(seed, "directions")).permutation(fire)[:most])
    groups = _groups(subjects, tokens)
    layer = sites.get(subjects[0].sae_name)
    return Directions(
        rows=rows[chosen],
        latent=chosen,
        group=None if groups is None else [groups[latent] for latent in chosen],
        density=n_firings[chosen] / tokens.n_read,
        layer=None if layer is None else layer[chosen],
        n_silent=len(n_firings) - int((n_firings > 0).sum()),
    )


def _groups(subjects: Sequence[Subject], tokens: MapTokens) -> list[str | None] | None:
    """[F] part of the code in which each latent fires, of the parts that were asked for besides the whole."""
    parts = [subject for subject in subjects if subject.part is not None]
    if len(parts) < 2:
        return None
    fires = np.stack([tokens.n_firings[subject.name] > 0 for subject in parts])
    words = np.array([subject.word for subject in parts])
    n_parts = fires.sum(axis=0)
    return [_SEVERAL if n > 1 else str(words[i]) if n else None for n, i in zip(n_parts, fires.argmax(axis=0), strict=True)]


def mean_sites(bench: Workbench, texts: Sequence[Ids]) -> dict[str, NDArray[np.float64]]:
    """Mean site of each latent of the SAEs with codes at each of several sites: name -> [F], NaN for latents that never fire."""
    wanted = {s.sae_name: s for s in bench.subjects if s.sae.codes_per_site and len(s.placed.code_sites) > 1}
    if not wanted:
        return {}
    store = bench.materials.text
    sums = {name: np.zeros((len(s.placed.code_sites), s.sae.n_latents)) for name, s in wanted.items()}
    for coded in bench.coded(bench.of_contexts(TextContexts(texts, store.config, store.tokenizer))):
        for name, subject in wanted.items():
            for i, code in enumerate(subject.placed.per_site(coded.codes[subject.name])):
                weights = code.values.detach().abs().double().cpu().numpy()
                sums[name][i] += np.bincount(code.indices.cpu().numpy(), weights=weights, minlength=code.n_latents)
    return {name: _means(mass) for name, mass in sums.items()}


def _means(mass: NDArray[np.float64]) -> NDArray[np.float64]:
    total = mass.sum(axis=0)
    moment = np.arange(len(mass)) @ mass
    return np.divide(moment, total, out=np.full(total.shape, np.nan), where=total > 0)
