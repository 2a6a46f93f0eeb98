"""The contract of SAE formats: how another tool keeps an SAE.

A plug-in is a file in this package with one subclass of `SaeFormat`: it reads SAEs from files, writes them, or both. What all
formats have in common is elsewhere: files read with distrust (`tensors.foreign_file`, `core.foreign`), SAEs put together from
tensors (`_assembled`), fingerprints (`_fingerprint`), drafts that become folders at once (`_exporting`).

**Codes.** What a format reads gives the codes that the tool itself gives, on raw activations, times one number: `ours *
code_factor = theirs`. It is 1 where the tool's weights work on raw activations; where they work on activations times s, and s is
kept beside the weights, ours are in activation units (as everywhere) and `code_factor` is s. Decoder rows are never normalised
by an import; where norms were folded, a note says so.

**Settings.** `Config` is what reading may need to be told; None means: as the files say, else the published value with a note
that it was assumed, else an error that names the flag. A setting wins over the files. `WriteConfig` is what writing may be told.
Both are flags of `monoseme import` and `export`.

Letters: D model width, F latents.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

from monoseme.core.errors import ConfigError
from monoseme.models.site import Site
from monoseme.saes import SAE


@dataclass(frozen=True, kw_only=True)
class ForeignSae:
    """An SAE of another tool, in one of our architectures."""

    name: str
    """What it is called among those of its folder, from the names of its files: letters, digits, `_`, `-`, `.`."""
    sae: SAE
    """Its `config.sites` are where it learned; None where neither the files nor a setting say."""
    model: str | None = None
    """The language model, as its hub or its author names it; None where the files do not say."""
    facts: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """What else the files say that is worth keeping, JSON-able; stays with the SAE as `imported`."""
    notes: tuple[str, ...] = ()
    """What was assumed, folded or left behind, one sentence each: shown to the user."""
    code_factor: float = 1.0
    """Their codes are ours times this."""


@dataclass(frozen=True, kw_only=True)
class WholeSae:
    """An SAE of ours as it is handed to a format to be written."""

    name: str
    sae: SAE
    """On raw activations: `export()` was called."""
    sites: tuple[Site, ...]
    model: str | None = None
    facts: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """What it was trained on and with, as its artifact says (`trained`, `corpus`, `context_len`, ...)."""


class SaeFormat(ABC):
    """A layout in which another tool keeps SAEs."""

    plugin_name: ClassVar[str]
    """Set by the registry."""
    looks_for: ClassVar[str]
    """By which files it is known, as a user reads it: "cfg.json with sae_weights.safetensors"."""
    reads: ClassVar[bool] = True
    """Whether it can be imported."""
    writes: ClassVar[bool] = True
    """Whether it can be exported to."""

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """How it is read."""

        site: str | None = None
        """Where the SAE learned (resid_post.12), several parted by commas. None: as the files say."""

    @dataclass(frozen=True, kw_only=True)
    class WriteConfig:
        """How it is written."""

        dtype: Literal["float32", "bfloat16", "float16"] = "float32"
        """Of the numbers in the file; anything but float32 rounds them."""

    def __init__(self, config: Config | None = None) -> None:
        """None takes the defaults."""
        self.config = config or self.Config()

    @abstractmethod
    def recognises(self, path: Path) -> bool:
        """Whether a file or a folder looks like this format: by names, at most by keys of a small file. Never raises."""

    def read(self, path: Path) -> Sequence[ForeignSae]:
        """The SAEs of a file or a folder, at least one.

        Raises ForeignError for files that are not what they should be, ConfigError for a setting that is needed or wrong.
        """
        del path
        raise ConfigError(f"{self.plugin_name} can be written, but not read")

    def reading(self, whole: WholeSae) -> Config:
        """The settings with which what was written of `whole` can be read again: what the files do not hold."""
        return self.Config(site=",".join(map(str, whole.sites)))

    def part(self, whole: WholeSae, config: WriteConfig) -> WholeSae:
        """What of `whole` is written: all of it, unless a setting names one of its places. Raises ConfigError."""
        del config
        return whole

    def write(self, whole: WholeSae, folder: Path, config: WriteConfig) -> tuple[str, ...]:
        """Write an SAE into an empty folder; says what the format cannot hold, or how numbers were rounded.

        Raises ConfigError where the format cannot hold such an SAE, with the formats or settings that can.
        """
        del whole, folder, config
        raise ConfigError(f"{self.plugin_name} can be read, but not written")
