"""The contract of explainers.

A plug-in is a file in this package with one subclass of `Explainer` and its nested `Config`.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

from monoseme.atlas.evidence import Evidence
from monoseme.atlas.said import Explanation


class Explainer(ABC):
    """Explains latents from the evidence an atlas holds."""

    plugin_name: ClassVar[str]

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """No options."""

    def __init__(self, config: Config | None = None) -> None:
        """None takes the defaults."""
        self.config = config or self.Config()

    @abstractmethod
    def explain(self, evidence: Evidence, latents: Sequence[int]) -> Iterator[Explanation]:
        """One explanation per latent asked for, in that order; a latent that cannot be explained says why.

        Only evidence of documents that are not held out may be used.
        """
