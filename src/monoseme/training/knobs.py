"""What an SAE is told at each step: where the run stands, its k, and how strong its penalty is."""

from collections.abc import Sequence
from dataclasses import fields

from monoseme.core.errors import ConfigError
from monoseme.saes import SAE, Knobs
from monoseme.training.config import SparsityConfig, TrainConfig
from monoseme.training.shards import n_latents_in_all
from monoseme.training.sparsity import SparsityController, annealed, annealed_k, warmed_up

_NEEDS = {
    "warmup_fraction": "no SAE of this run has a sparsity penalty",
    "start_factor": "no SAE of this run has a k or a target L0",
    "anneal_fraction": "no SAE of this run has a k or a target L0",
    "smallest_factor": "no SAE of this run has a penalty with a target L0",
    "largest_factor": "no SAE of this run has a penalty with a target L0",
}
"""Setting -> why it may reach nobody."""


class KnobSetter:
    """The knobs of one SAE over a run."""

    def __init__(self, name: str, sae: SAE, config: TrainConfig) -> None:
        """Raises ConfigError for an annealing that would change nothing."""
        self.controller: SparsityController | None = None
        """What steers the penalty of an SAE with a target L0; None for others."""
        target = sae.config.target_l0
        self._has_penalty = sae.sparsity == "penalty"
        if self._has_penalty and target is not None:
            self.controller = SparsityController(name, target=target, config=config.sparsity, n_steps=config.steps)
        self._config = config
        settings = {field.name for field in fields(sae.config)}
        self._k: int | None = sae.config.k if "k" in settings and sae.sparsity == "k" else None
        self._n_latents = n_latents_in_all(sae)
        if config.sparsity.start_factor > 1.0 and self._has_penalty and self.controller is None:
            raise ConfigError(
                f"sparsity.start_factor would change nothing for {name}: its penalty has no target L0.\n"
                "  Set its target_l0, or leave out sparsity.start_factor and sparsity.anneal_fraction."
            )

    @property
    def uses(self) -> set[str]:
        """The settings of `sparsity` that reach this SAE."""
        steered = {"smallest_factor", "largest_factor"} if self.controller is not None else set[str]()
        annealed = {"start_factor", "anneal_fraction"} if self.controller is not None or self._k is not None else set[str]()
        return steered | annealed | ({"warmup_fraction"} if self._has_penalty else set[str]())

    def at(self, step: int) -> Knobs:
        """The knobs of the 0-based `step`."""
        n_steps, sparsity = self._config.steps, self._config.sparsity
        factor = warmed_up(step, config=sparsity, n_steps=n_steps) if self._has_penalty else 1.0
        if self.controller is not None:
            factor *= self.controller.factor
        return Knobs(step=step, progress=step / n_steps, sparsity=factor, k=self._annealed_k(step))

    def _annealed_k(self, step: int) -> int | None:
        sparsity = self._config.sparsity
        if self._k is None or annealed(step, config=sparsity, n_steps=self._config.steps) == 1.0:
            return None
        return annealed_k(self._k, step, config=sparsity, n_steps=self._config.steps, n_latents=self._n_latents)

    def row(self, step: int) -> dict[str, float]:
        """What a row of metrics tells of them: `sparsity`, `target_l0` and `saturated`, or `k` while it is annealed."""
        knobs, row = self.at(step), dict[str, float]()
        if self._has_penalty:
            row["sparsity"] = knobs.sparsity
        if self.controller is not None:
            row |= {"target_l0": self.controller.goal(step), "saturated": float(self.controller.saturated)}
        if self._k is not None and self._config.sparsity.start_factor > 1.0:
            row["k"] = knobs.k or self._k
        return row


def require_used(config: SparsityConfig, knobs: Sequence[KnobSetter]) -> None:
    """Raises ConfigError for a setting of `sparsity` that reaches no SAE of the run."""
    used = {name for each in knobs for name in each.uses}
    default = SparsityConfig()
    idle = [f.name for f in fields(config) if f.name not in used and getattr(config, f.name) != getattr(default, f.name)]
    if idle:
        raise ConfigError(
            f"sparsity.{', sparsity.'.join(idle)} would change nothing: {_NEEDS[idle[0]]}.\n  Leave it out, or add such an SAE."
        )
