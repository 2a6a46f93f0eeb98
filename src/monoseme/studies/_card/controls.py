"""What the lines are held against: for each site a dictionary of random directions and the principal components, of like L0."""

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
