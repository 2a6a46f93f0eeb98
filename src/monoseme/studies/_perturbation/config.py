"""Settings that the studies `scr` and `tpp` share."""

from dataclasses import dataclass, field

from monoseme.core.errors import ConfigError
from monoseme.evaluation._latent_effects_probes import ProbeSchedule
from monoseme.studies._labelled.config import LabelledConfig

_COUNTS = (2, 5, 10, 20, 50, 100, 500)
FEW = 20
"""Latents up to which a finding speaks of a few (count): with hundreds any dictionary spells out a probe's direction."""


@dataclass(frozen=True, kw_only=True)
class PerturbationConfig(LabelledConfig):
    """Which SAEs, on which labelled texts, and how many latents are ablated."""

    n_latents: tuple[int, ...] = _COUNTS
    """Numbers of latents that are ablated (counts); as SAEBench. One that an SAE does not have is left out for it."""
    probe: ProbeSchedule = field(default_factory=ProbeSchedule)
    """How the probes are trained."""
    n_draws: int = 5
    """Sets of random latents whose mean is the control (count)."""
    n_replicates: int = 200
    """Of the bootstrap over the test side's sources (count)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.n_latents or min(self.n_latents) < 1 or tuple(sorted(set(self.n_latents))) != self.n_latents:
            raise ConfigError(f"n_latents is {self.n_latents}; it must be rising counts of at least 1, such as 2,5,10")
        if self.n_draws < 1 or self.n_replicates < 20:
            raise ConfigError("n_draws must be at least 1 and n_replicates at least 20")
