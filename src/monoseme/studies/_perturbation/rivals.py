"""The SAEs of a study of perturbed probes, and a dictionary of random directions beside them that learned nothing."""

import numpy as np
import torch

from monoseme.core.errors import ConfigError
from monoseme.core.seeds import derive_seed
from monoseme.evaluation._directions import writes_of
from monoseme.evaluation._latent_effects import Floats
from monoseme.models import Site
from monoseme.saes.random import Random
from monoseme.studies._labelled.bench import LabelledBench
from monoseme.studies._labelled.pooled import Pooled
from monoseme.studies._perturbation.ablated import Rival
from monoseme.studies._workbench import Subject

RANDOM = "random dictionary"
_SAMPLE_TOKENS = 4096
"""Tokens that the size of random codes is fitted to."""


class Rivals:
    """The subjects of a bench that write where they read, one random dictionary for each site, and what they all write."""

    def __init__(self, bench: LabelledBench, *, seed: int) -> None:
        """Puts the random dictionaries among the bench's subjects, so that they are pooled with them.

        Raises ConfigError where no SAE is left.
        """
        elsewhere = [s.name for s in bench.subjects if s.placed.outputs != s.placed.inputs]
        self.saes = [s for s in bench.subjects if s.name not in elsewhere]
        if not self.saes:
            raise ConfigError(f"no SAE is left: {', '.join(elsewhere)} write to another site than they read")
        self.left_out = bench.left_out | dict.fromkeys(elsewhere, "it writes to another site than it reads")
        self.controls = _random_dictionaries(bench, self.saes, seed=seed)
        bench.subjects = [*self.saes, *self.controls]
        self._written: dict[str, Floats] = {}

    @property
    def sites(self) -> list[Site]:
        """Where the SAEs read, each once."""
        return list(dict.fromkeys(_site(s) for s in self.saes))

    def at(self, site: Site, pooled: Pooled) -> list[Rival]:
        """Those that read there, on one data set, the control last."""
        return [
            Rival(s.name, pooled.written[s.name], self._writes(s), s.name.startswith(RANDOM))
            for s in (*self.saes, *self.controls)
            if _site(s) == site
        ]

    def _writes(self, subject: Subject) -> Floats:
        if subject.sae_name not in self._written:
            self._written[subject.sae_name] = writes_of(subject.sae, n_sites=1).numpy()
        return self._written[subject.sae_name]


def _site(subject: Subject) -> Site:
    return subject.placed.inputs[0]


def _random_dictionaries(bench: LabelledBench, saes: list[Subject], *, seed: int) -> list[Subject]:
    """One for each site, with as many latents as the widest SAE there and about as many active."""
    work = bench.workbench
    sites = list(dict.fromkeys(_site(s) for s in saes))
    samples: dict[Site, list[torch.Tensor]] = {site: [] for site in sites}
    active: dict[str, list[int]] = {s.name: [] for s in saes}
    for coded in work.coded(work.source, max_tokens=_SAMPLE_TOKENS):
        mask = coded.chunk.text.mask
        for site in sites:
            samples[site].append(coded.chunk.activations[site][mask].cpu())
        for subject in saes:
            active[subject.name].append(coded.codes[subject.name].nnz)
    made: list[Subject] = []
    for site in sites:
        x, there = torch.cat(samples[site]), [s for s in saes if _site(s) == site]
        widest = max(there, key=lambda s: s.sae.n_latents)
        k = max(1, round(float(np.median([sum(active[s.name]) for s in there])) / len(x)))
        config = Random.Config(
            n_latents=widest.sae.n_latents,
            d_in=x.shape[1],
            k=min(k, widest.sae.n_latents),
            seed=derive_seed(seed, RANDOM) % 2**31,
        )
        sae = Random(config)
        sae.start(x)
        name = RANDOM if len(sites) == 1 else f"{RANDOM} ({site})"
        made.append(widest._replace(name=name, sae_name=name, sae=sae.to(work.materials.sae_device), part=None, word="all"))
    return made
