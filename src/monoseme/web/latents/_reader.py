"""Reads the table of latents of each SAE, and keeps it until the files it was built from are others."""

import threading
from typing import TYPE_CHECKING

from monoseme.web.latents._query import LatentQuery
from monoseme.web.latents._table import LatentsTable
from monoseme.web.latents.answers import LatentTable
from monoseme.web.run_files import NotFoundError, RunFiles

if TYPE_CHECKING:
    from monoseme.atlas import Annotation


class LatentsReader:
    """The tables of one run."""

    def __init__(self, files: RunFiles) -> None:
        self._files = files
        self._lock = threading.Lock()
        self._tables: dict[str, tuple[tuple[str, ...], LatentsTable]] = {}

    def page(self, sae: str, query: LatentQuery) -> LatentTable:
        """A page of the table."""
        return self.table(sae).page(query)

    def random(self, sae: str) -> int:
        """The index of a latent that fires, chosen anew at each call. Raises NotFoundError where there is none."""
        index = self.table(sae).random_alive()
        if index is None:
            raise NotFoundError(f"every latent of {sae} is dead on the scanned text")
        return index

    def table(self, sae: str) -> LatentsTable:
        """The table of latents, built anew when there are new annotations."""
        from monoseme.web.latents._build import latents_table

        atlas = self._files.atlas_with(sae)
        annotations: list[Annotation] = atlas.annotations(sae)
        stamp = (atlas.latents(sae).content_hash, *(annotation.artifact.content_hash for annotation in annotations))
        with self._lock:
            found = self._tables.get(sae)
            if found is None or found[0] != stamp:
                found = self._tables[sae] = (stamp, latents_table(atlas, sae, annotations))
            return found[1]
