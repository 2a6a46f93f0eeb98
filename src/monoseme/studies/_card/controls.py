"""What the lines are held against: for each site a dictionary of random directions and the principal components, of like L0."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch

from monoseme.core.seeds import derive_seed
from monoseme.evaluation import Metric
from monoseme.models import Site
from monoseme.saes import SAE
from monoseme.saes.pca import PCA
from monoseme.saes.random import Random
from monoseme.studies._workbench import Subject, Workbench
from monoseme.tensors.shapes import Float, Tensor

RANDOM, COMPONENTS = "random dictionary", "PCA"
_SAMPLE_TOKENS = 8192
"""Tokens that the controls are fitted to, and that L0 is measured on."""


def is_control(name: str) -> bool:
    """Whether a column is a control of the card or of one of the studies it is made from."""
    return name.lower().startswith(("random", "pca"))


def one_of_each(metrics: Mapping[str, Sequence[Metric]]) -> dict[str, Sequence[Metric]]:
    """The same under the names of the card's controls: of several sizes of a kind of control the first.

    A study has its own controls, as it needs them: "random of 2048, 20 on" is the card's random dictionary.
    """
    made: dict[str, Sequence[Metric]] = {}
    for name, held in metrics.items():
        kind = COMPONENTS if name.startswith("PCA") else RANDOM if name.startswith(("random of", RANDOM)) else name
        made.setdefault(kind, held)
    return made


def controls_of(bench: Workbench, *, seed: int) -> list[Subject]:
    """For each site that an SAE reads alone: a random dictionary as wide as the widest there, and PCA, of the median L0 there.

    They see as many tokens as they need from the text of the study: no more is learned of it than a mean and a few directions.
    """
    alone = [s for s in bench.subjects if len(s.sites) == 1]
    sites = list(dict.fromkeys(s.sites[0] for s in alone))
    if not sites:
        return []
    xs: dict[Site, list[Tensor]] = {site: [] for site in sites}
    n_active: dict[str, int] = {s.name: 0 for s in alone}
    for coded in bench.coded(bench.source, max_tokens=_SAMPLE_TOKENS):
        for site in sites:
            xs[site].append(coded.chunk.activations[site][coded.chunk.text.mask].cpu())
        for subject in alone:
            n_active[subject.name] += coded.codes[subject.name].nnz
    made: list[Subject] = []
    for site in sites:
        x, here = torch.cat(xs[site]), [s for s in alone if s.sites[0] == site]
        widest = max(here, key=lambda s: s.sae.n_latents)
        k = max(1, round(float(np.median([n_active[s.name] for s in here])) / len(x)))
        where = "" if len(sites) == 1 else f" at {site}"
        for kind, sae in _fitted(x, widest.sae.n_latents, k, seed=derive_seed(seed, RANDOM, str(site)) % 2**31).items():
            name = f"{kind}{where}"
            moved = sae.to(bench.materials.sae_device)
            made.append(Subject(name, name, moved, (site,), None, "all"))
    return made


def _fitted(x: Float[Tensor, "N D"], n_latents: int, k: int, *, seed: int) -> dict[str, SAE]:
    d = x.shape[1]
    saes: Sequence[tuple[str, SAE]] = (
        (RANDOM, Random(Random.Config(n_latents=n_latents, d_in=d, k=min(k, n_latents), seed=seed))),
        (COMPONENTS, PCA(PCA.Config(n_latents=min(n_latents, d), d_in=d, k=min(k, n_latents, d)))),
    )
    for _, sae in saes:
        sae.start(x)
    return {kind: sae.export() for kind, sae in saes}
