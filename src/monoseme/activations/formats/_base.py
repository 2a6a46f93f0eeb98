"""The contract of a foreign format, and how a plug-in is made of one file.

A format says whether a folder looks like it, and opens one as a `ForeignStore`: contexts by number, with what is known of them.
Everything else is common to all: the held-out split, blocks, padding, rows that are not finite, the artifact that is written.

Foreign files are not trusted. What can run a program when it is loaded (a plain pickle) is refused with the way to convert it.
What a foreign store does not say is a setting of the format, or is missing; it is never made up.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

from monoseme.activations.formats._foreign import ForeignStore
from monoseme.activations.formats._input import ForeignInput
from monoseme.core.errors import ConfigError


class ActivationFormat(ABC):
    """A layout in which another tool keeps activations. One concrete subclass in a file of this package is a plug-in."""

    plugin_name: ClassVar[str]
    """Set by the registry."""
    looks_for: ClassVar[str]
    """By which files a folder is known, as a user reads it: "batch_PID_N.pt"."""

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """What a foreign store does not say of itself, and how it is taken over."""

        site: tuple[str, ...] = ()
        """Where the vectors are from: a site such as resid_post.12, or NAME=SITE for each name that the store gives its places;
        NAME=skip leaves one out. Empty: as the names say."""
        model: str | None = None
        """Language model that made them (path or hub id), for the record."""
        tokenizer: str | None = None
        """Tokenizer (path or hub id) of the token ids: its special tokens are not shown to SAEs. None: all tokens are."""
        contexts_per_block: int = 64
        """Contexts that are read and written together."""
        holdout_fraction: float = 0.1
        """Share of the documents kept out of training (fraction)."""
        seed: int = 0
        """Seed of that choice."""
        bad_rows: Literal["refuse", "drop"] = "refuse"
        """What becomes of vectors with a number that is not finite: the import stops, or they are left out and counted."""

        def __post_init__(self) -> None:
            """Raises ConfigError for a value out of range."""
            if self.contexts_per_block < 1:
                raise ConfigError(f"contexts_per_block is {self.contexts_per_block}; it must be at least 1")
            if not 0.0 <= self.holdout_fraction < 1.0:
                raise ConfigError(f"holdout_fraction is {self.holdout_fraction}; it must be at least 0 and below 1")
            if self.bad_rows not in ("refuse", "drop"):
                raise ConfigError(f'bad_rows is "{self.bad_rows}".\n  Allowed: refuse, drop')

    @abstractmethod
    def recognises(self, folder: Path) -> bool:
        """Whether the folder looks like this format: by names, at most by a small JSON file. Nothing is loaded."""

    @abstractmethod
    def find(self, folder: Path, options: Any) -> ForeignStore:
        """The store in a folder; `options` are of this format's own `Config`, which `open` sees to.

        Raises ForeignError for files that cannot be read or do not fit together, SiteError where a place has no known site,
        ConfigError for options that do not fit the store.
        """

    def open(self, folder: Path, options: "ActivationFormat.Config") -> ForeignInput:
        """The store as blocks that `write_store` takes. Raises what `find` raises, ConfigError for another format's settings."""
        if not isinstance(options, type(self).Config):
            raise ConfigError(f"{type(options).__qualname__} holds no settings of {type(self).__name__}")
        return ForeignInput(self.find(folder, options), options, format=type(self).plugin_name)
