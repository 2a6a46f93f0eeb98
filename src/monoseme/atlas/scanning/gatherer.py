"""What a pass over the text gathers of one (SAE, part) at one site: several things beside each other, each by this protocol.

A pass gives every gatherer the same chunks of whole contexts, cut at places that follow from the text and the SAE alone. So what
is gathered is the same however often the pass was killed and went on, and for several processes that take blocks in turn.
"""

from pathlib import Path
from typing import NamedTuple, Protocol, Self

from monoseme.atlas.scanning.firings import Firings, Rows
from monoseme.atlas.text_store import TextStore


class Gatherer(Protocol):
    """Grows by `add`; is put down and taken up again; merges; writes its files into the finished artifact.

    Made with a folder of its own, in which it may keep what is too large for memory while the pass goes by.
    """

    def add(self, rows: Rows, firings: Firings) -> None:
        """Take in one chunk of whole contexts."""
        ...

    def checkpoint(self, number: int) -> None:
        """Put down, under its folder, all that was added so far. Checkpoints before the last but one may then be removed."""
        ...

    def restore(self, number: int) -> None:
        """Go back to that checkpoint, whatever was added or put down after it."""
        ...

    def merge(self, other: Self) -> None:
        """Take in what another process gathered of other contexts: as if all had been added here."""
        ...

    def write(self, folder: Path, text: TextStore) -> None:
        """Write its files into the artifact's folder."""
        ...


class MakeGatherer(Protocol):
    """Makes a gatherer that has seen nothing yet."""

    def __call__(self, n_latents: int, *, n_contexts: int, context_len: int, scratch: Path) -> Gatherer:
        """For an SAE of `n_latents`, over contexts of `context_len` tokens with ordinals below `n_contexts`.

        An ordinal may belong to no context, where a source has blocks of different sizes. `scratch` exists, is the gatherer's
        own, and goes when the scan is done.
        """
        ...


class GathererSpec(NamedTuple):
    """One thing to gather of each SAE."""

    name: str
    """Its folder while the pass goes by; unlike all others of a scan."""
    make: MakeGatherer
    place: str = "latents"
    """The folder of the atlas in which its artifact lies, as PLACE/KEY; gatherers of one place write into one artifact. All but
    `latents` name in their manifest the hash of the latents that they belong to."""
