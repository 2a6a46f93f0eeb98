"""The contract of atlas formats.

A plug-in is a file in this package with one subclass of `AtlasFormat` and its nested `Config`. A format writes some latents of an
atlas as another tool wants them, or reads what that tool says of latents, or both. What all formats have in common is elsewhere:
which latents and which explanations (`_exporting`), drafts that become folders at once, annotations (`_importing`).

Letters: F latents, L layers.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from monoseme.atlas.formats._notes import Notes
from monoseme.atlas.formats._part import ExportPart


class AtlasFormat(ABC):
    """A layout in which another tool keeps what is known of latents."""

    plugin_name: ClassVar[str]
    """Set by the registry."""
    looks_for: ClassVar[str]
    """By which files it is known, as a user reads it: "explanations.json"."""
    several_sites: ClassVar[bool] = False
    """Whether one export holds the latents of several sites: all layers of a multi-layer SAE."""

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """No options."""

    def __init__(self, config: Config | None = None) -> None:
        """None takes the defaults."""
        self.config = config or self.Config()

    @abstractmethod
    def recognises(self, path: Path) -> bool:
        """Whether a file or a folder looks like this format: by names, at most by the beginning of a file."""

    @abstractmethod
    def write(self, parts: Sequence[ExportPart], folder: Path) -> tuple[str, ...]:
        """Write the latents of `parts` into an empty folder; says what the format cannot hold, or what the atlas has not.

        Raises ConfigError where something that the format cannot be without is missing.
        """

    @abstractmethod
    def read(self, path: Path) -> Notes:
        """What a file or a folder says. Raises ForeignError for one that is not what it should be."""
