"""The contract of steering methods: from latents or directions with strengths to edits of a model.

A method is one public file of this package with one concrete subclass of `SteeringMethod` and its nested frozen `Config`. Most
extend `ResidualMethod` (`_residual.py`: what becomes of the activations) or `CodeMethod` (`_code.py`: what becomes of the codes)
and say one formula.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from monoseme.core.errors import ConfigError
from monoseme.models import Edit, Site
from monoseme.splice import Placed
from monoseme.steering._conditions import Condition, Everywhere
from monoseme.steering._directions import Direction
from monoseme.steering._strength import UNKNOWN, LatentFacts, Strength, Unit

EVERYWHERE = Everywhere()


@dataclass(frozen=True, eq=False)
class Aim:
    """What to steer with, and how strongly."""

    target: int | Direction
    """A latent of the SAE, or a direction."""
    strength: Strength
    facts: LatentFacts = UNKNOWN
    """What the unit of the strength needs."""

    @property
    def name(self) -> str:
        """For people."""
        return f"latent {self.target}" if isinstance(self.target, int) else self.target.name


class SteeringMethod(ABC):
    """Makes edits that steer a model."""

    plugin_name: ClassVar[str]
    formula: ClassVar[str]
    """What it does, in one line: h are activations, f codes, w what a latent writes, c the strength."""
    needs_sae: ClassVar[bool] = False
    """Whether it works on codes: directions alone will not do."""
    units: ClassVar[tuple[Unit, ...]] = ("max", "norm", "raw")
    """Units that a strength may have, the usual one first."""

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """No options."""

        plugin_name: ClassVar[str]

    config: Any  # a subclass narrows it to its own Config

    def __init__(self, config: "SteeringMethod.Config | None" = None) -> None:
        """None takes the defaults."""
        self.config = config if config is not None else type(self).Config()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.config!r})"

    @abstractmethod
    def edits(
        self,
        place: Placed | Site,
        aims: Sequence[Aim],
        *,
        conditions: Condition = EVERYWHERE,
        sites: Sequence[Site] | None = None,
    ) -> list[Edit]:
        """The edits, in the order in which a model is to have them.

        `place` is an SAE in its places, or a site where all aims are directions. `sites` limits them to some of an SAE's outputs.
        Steering with several SAEs is the edits of one after those of the other. Raises ConfigError for a latent, direction or
        strength that does not fit, SiteError for a place that does not.
        """

    def prompted(self, text: str) -> str:
        """The text with which the model is to be asked."""
        return text

    def check_units(self, aims: Sequence[Aim]) -> None:
        """Raises ConfigError for no aims, and for a strength in a unit that the method does not take."""
        if not aims:
            raise ConfigError(f"{self.plugin_name} is given nothing to steer with: name a latent and a strength")
        for aim in aims:
            if aim.strength.unit not in self.units:
                raise ConfigError(
                    f"{self.plugin_name} takes no strength of {aim.strength} ({aim.name}): {self.formula}\n"
                    f"  Allowed units: {', '.join(self.units)}"
                )
