"""Prompt: the baseline that edits nothing; the model is told in words what is wanted.

Source: AxBench, arXiv:2501.17148 (prompting as a baseline for steering).
"""

from collections.abc import Sequence
from dataclasses import dataclass

from monoseme.core.errors import ConfigError
from monoseme.models import Edit, Site
from monoseme.splice import Placed
from monoseme.steering._base import EVERYWHERE, Aim, SteeringMethod
from monoseme.steering._conditions import Condition


class Prompt(SteeringMethod):
    """Words before the text; in a chat, a system message."""

    formula = "instruction + text"

    @dataclass(frozen=True, kw_only=True)
    class Config(SteeringMethod.Config):
        """What to say."""

        instruction: str = ""
        """The words, with the space or line break that is to stand after them."""

    config: Config

    def edits(
        self,
        place: Placed | Site,
        aims: Sequence[Aim],
        *,
        conditions: Condition = EVERYWHERE,
        sites: Sequence[Site] | None = None,
    ) -> list[Edit]:
        """None. Raises ConfigError for an empty instruction, and for latents or conditions: they would do nothing."""
        del place, sites
        if not self.config.instruction:
            raise ConfigError("the method prompt has nothing to say: give --method.instruction")
        if aims or conditions is not EVERYWHERE:
            raise ConfigError("the method prompt changes no activations: leave out latents, directions and conditions")
        return []

    def prompted(self, text: str) -> str:
        """The instruction, then the text."""
        return self.config.instruction + text
