"""What an atlas knows of the latents on a text: which of its tables says it, and the rows."""

from collections.abc import Iterable
from typing import NamedTuple

from monoseme.web.latents import LatentsReader
from monoseme.web.latents.answers import LatentRow
from monoseme.web.run_files import RunFiles, ScannedSae

_CODES_OF_THEIR_OWN = ("predicted", "novel")


class Scanned(NamedTuple):
    """One SAE as it was scanned under one key."""

    key: str
    part: str | None
    site: str


class KnownLatents:
    """The latents of one SAE of a run, over all its parts and sites."""

    def __init__(self, files: RunFiles, asked: ScannedSae) -> None:
        self._files, self._asked = files, asked
        described = ((key, files.described(key)) for key in files.scanned())
        self._scanned = [Scanned(key, found["part"], found["site"]) for key, found in described if found["name"] == asked.name]

    def key(self, *, part: str | None = None, site: str | None = None) -> str | None:
        """Under which this part of the code was scanned, at this site where sites have codes of their own (None: any)."""
        found = (each.key for each in self._scanned if each.part == part and site in (None, each.site))
        return next(found, None)

    def part_key(self, part: str | None, *, site: str) -> str | None:
        """As `key`; latents of a group (high, low) are those of the whole code, predicted and novel are codes of their own."""
        own = self.key(part=part, site=site)
        return own if own is not None or part in _CODES_OF_THEIR_OWN else self.key(site=site)

    def shown_key(self, site: str) -> str | None:
        """That of what a page was asked for: its own part and site."""
        return self.key(part=self._asked.part, site=site)

    def rows(self, key: str | None, latents: Iterable[int]) -> dict[int, LatentRow]:
        """Density, largest activation and explanation of these latents; empty where nothing was scanned under that key."""
        return {} if key is None else self._files.page(LatentsReader).table(key).rows(list(latents))

    def maximum(self, latent: int, *, site: str | None) -> float | None:
        """The largest activation of a latent that steers, at its own site where each has codes of its own; None if not scanned.

        Of a TFA that of its novel code, which steering changes.
        """
        keys = (self.key(part=part, site=site) for part in ("novel", None))
        row = self.rows(next(filter(None, keys), None), [latent]).get(latent)
        return None if row is None else row.max
