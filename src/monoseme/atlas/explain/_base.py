"""The contract of explainers.

A plug-in is a file in this package with one subclass of `Explainer` and its nested `Config`.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

from monoseme.atlas.evidence import Evidence
from monoseme.atlas.said import Explanation
from monoseme.core.errors import ConfigError
from monoseme.judges import Desk, Question


class Explainer(ABC):
    """Explains latents from the evidence an atlas holds."""

    plugin_name: ClassVar[str]
    asks_judge: ClassVar[bool] = False
    """Whether it asks a language model: it is then given a desk."""

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """No options."""

    def __init__(self, config: Config | None = None, *, desk: Desk | None = None) -> None:
        """None takes the defaults. Raises ConfigError where a judge is asked and there is no desk."""
        if self.asks_judge and desk is None:
            raise ConfigError(f"{self.plugin_name} asks a language model.\n  Name one with --judge; see:  monoseme ls judges")
        self.config = config or self.Config()
        self.desk = desk

    @property
    def uses_heldout(self) -> bool:
        """Whether its explanations are made from held-out documents too; a score of them would say too much, and is refused."""
        return False

    def questions(self, evidence: Evidence, latents: Sequence[int]) -> Iterator[Question]:
        """What `explain` puts to the judge, so that its cost can be told before; nothing where no judge is asked."""
        del evidence, latents
        return iter(())

    @abstractmethod
    def explain(self, evidence: Evidence, latents: Sequence[int]) -> Iterator[Explanation]:
        """One explanation per latent asked for, in that order; a latent that cannot be explained says why.

        Only evidence of documents that are not held out may be used, unless `uses_heldout` says otherwise. All questions go to
        the desk at once, so that they can be sent as one batch.
        """
