"""Reads the table of latents of each SAE, and keeps it until the files it was built from are others."""

import functools
import threading
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from monoseme.web.latents._query import LatentFilter, LatentQuery
from monoseme.web.latents._table import LatentsTable
from monoseme.web.latents.answers import LatentColumns, LatentTable
from monoseme.web.run_files import NotFoundError, RunFiles

if TYPE_CHECKING:
    from monoseme.atlas import Annotation, Atlas
    from monoseme.web.latents._found import Found
    from monoseme.web.latents._said import Said


class _Opened(NamedTuple):
    """One SAE's table and what searches it."""

    stamp: tuple[str, ...]
    """Hashes of the files it was built from."""
    atlas: "Atlas"
    table: LatentsTable
    said: "Said"


class LatentsReader:
    """The tables of one run."""

    def __init__(self, files: RunFiles) -> None:
        self._files = files
        self._lock = threading.Lock()
        self._opened: dict[str, _Opened] = {}
        self._found_by_text = functools.lru_cache(maxsize=32)(self._search_text)

    def page(self, sae: str, query: LatentQuery) -> LatentTable:
        """A page of the table."""
        opened = self._open(sae)
        return opened.table.page(query, self._found(sae, opened, query))

    def columns(self, sae: str) -> LatentColumns:
        """What can be asked of the table."""
        opened = self._open(sae)
        return opened.table.columns().model_copy(update={"why_no_meaning": opened.said.why_no_meaning})

    def values(self, sae: str, names: list[str]) -> NDArray[np.float32]:
        """Whole columns, [len(names), F]; NaN where a number is missing."""
        return self._open(sae).table.values(names)

    def passing(self, sae: str, asked: LatentFilter) -> NDArray[np.bool_]:
        """Which latents pass the filters, [F]."""
        opened = self._open(sae)
        return opened.table.passing(asked, self._found(sae, opened, asked))

    def random(self, sae: str) -> int:
        """The index of a latent that fires, chosen anew at each call. Raises NotFoundError where there is none."""
        index = self.table(sae).random_alive()
        if index is None:
            raise NotFoundError(f"every latent of {sae} is dead on the scanned text")
        return index

    def table(self, sae: str) -> LatentsTable:
        """The table of latents, built anew when there are new annotations."""
        return self._open(sae).table

    def _open(self, sae: str) -> _Opened:
        from monoseme.web.latents._build import latents_table
        from monoseme.web.latents._said import Said

        atlas = self._files.atlas_with(sae)
        annotations: list[Annotation] = atlas.annotations(sae)
        stamp = (atlas.latents(sae).content_hash, *(annotation.artifact.content_hash for annotation in annotations))
        with self._lock:
            found = self._opened.get(sae)
            if found is None or found.stamp != stamp:
                table = latents_table(atlas, sae, annotations)
                found = self._opened[sae] = _Opened(stamp, atlas, table, Said(table, annotations))
            return found

    def _found(self, sae: str, opened: _Opened, asked: LatentFilter) -> "Found | None":
        """What a search that ranks finds; None where there is none."""
        if not asked.ranks:
            return None
        return self._found_by_text(sae, opened.stamp, asked.q) if asked.by == "text" else opened.said.find(asked)

    def _search_text(self, sae: str, stamp: tuple[str, ...], phrase: str) -> "Found":
        """Kept by the hash of what was scanned."""
        from monoseme.web.latents._found import found_by_text

        del stamp
        return found_by_text(self._files.atlas_with(sae), sae, phrase)
