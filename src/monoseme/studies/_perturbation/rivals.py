"""The SAEs of a study of perturbed probes, and a dictionary of random directions beside them that learned nothing."""

from monoseme.core.errors import ConfigError
from monoseme.core.seeds import derive_seed
from monoseme.evaluation import writes_of
from monoseme.evaluation._latent_effects import Floats
from monoseme.models import Site
from monoseme.studies._controls import RANDOM, random_dictionary, samples_of
from monoseme.studies._labelled.bench import LabelledBench
from monoseme.studies._labelled.pooled import Pooled
from monoseme.studies._perturbation.ablated import Rival
from monoseme.studies._workbench import Subject

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
    def told_left_out(self) -> str:
        """A sentence for each SAE that is left out, with a space before it."""
        return "".join(f" {name} is left out: {why}." for name, why in self.left_out.items())

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
    samples = samples_of(bench.workbench, saes, max_tokens=_SAMPLE_TOKENS)
    made: list[Subject] = []
    for site, x, widest, k in samples:
        sae = random_dictionary(x, n_latents=widest.sae.n_latents, k=k, seed=derive_seed(seed, RANDOM))
        name = RANDOM if len(samples) == 1 else f"{RANDOM} ({site})"
        made.append(Subject(name, name, sae.to(bench.workbench.materials.sae_device), (site,), None, "all"))
    return made
