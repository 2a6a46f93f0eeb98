"""What the lines are held against: for each site a dictionary of random directions and the principal components, of one L0."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence

from monoseme.core.seeds import derive_seed
from monoseme.evaluation import Metric
from monoseme.studies._controls import COMPONENTS, RANDOM, components, random_dictionary, samples_of
from monoseme.studies._workbench import Subject, Workbench

_SAMPLE_TOKENS = 8192
"""Tokens that the controls are fitted to, and that L0 is measured on."""


def is_control(name: str) -> bool:
    """Whether a column is a control of the card or of one of the studies it is made from."""
    return name.lower().startswith(("random", "pca"))


def n_on_by_name(name: str) -> float | None:
    """The L0 that the name of a study's own control says, such as "random of 2048, 20 on"; None where it says none."""
    said = re.search(r", (\d+) on\b", name) if is_control(name) else None
    return None if said is None else float(said[1])


def under_card_names(metrics: Mapping[str, Sequence[Metric]]) -> dict[str, Sequence[Metric]]:
    """The same under the names of the card's controls, where there is one of a kind; of several L0 each keeps its name.

    A study has its own controls, as it needs them: "random of 2048, 20 on" is the card's random dictionary.
    """
    kinds = {
        name: COMPONENTS if name.startswith("PCA") else RANDOM if name.startswith(("random of", RANDOM)) else name
        for name in metrics
    }
    n_of_kind = Counter(kinds.values())
    return {kinds[name] if n_of_kind[kinds[name]] == 1 else name: held for name, held in metrics.items()}


def controls_of(bench: Workbench, *, seed: int) -> list[Subject]:
    """For each site that an SAE reads alone: a random dictionary as wide as the widest there, and PCA, of the median L0 there.

    They see as many tokens as they need from the text of the study: no more is learned of it than a mean and a few directions.
    """
    samples = samples_of(bench, [s for s in bench.subjects if len(s.sites) == 1], max_tokens=_SAMPLE_TOKENS)
    made: list[Subject] = []
    for site, x, widest, k in samples:
        n = widest.sae.n_latents
        fitted = {
            RANDOM: random_dictionary(x, n_latents=n, k=k, seed=derive_seed(seed, RANDOM, str(site))),
            COMPONENTS: components(x, n_latents=n, k=k),
        }
        for kind, sae in fitted.items():
            name = kind if len(samples) == 1 else f"{kind} at {site}"
            made.append(Subject(name, name, sae.to(bench.materials.sae_device), (site,), None, "all"))
    return made
