"""Reads the page of a latent."""

from typing import Any

from monoseme.web.latent.answers import LatentCard, LatentDetail
from monoseme.web.latents import LatentsReader
from monoseme.web.run_files import NotFoundError, RunFiles
from monoseme.web.values import Histogram


class LatentReader:
    """The latents of one run, one at a time."""

    def __init__(self, files: RunFiles) -> None:
        self._files = files

    def detail(self, sae: str, index: int) -> LatentDetail:
        """Everything about a latent."""
        from monoseme.web.latent import _detail

        atlas = self._files.atlas_with(sae, index)
        return _detail.detail(atlas.latent(sae, index), atlas.annotations(sae))

    def card(self, sae: str, index: int) -> LatentCard:
        """The small card."""
        from monoseme.web.latent import _detail

        atlas = self._files.atlas_with(sae, index)
        return _detail.card(atlas.latent(sae, index), self._files.page(LatentsReader).table(sae).rows([index])[index])

    def chart(self, sae: str, index: int) -> dict[str, Any]:
        """The histogram of its activations, as a Vega-Lite specification. Raises NotFoundError for one that never fired."""
        found = self._files.atlas_with(sae, index).latents(sae).histogram(index)
        if found is None:
            raise NotFoundError(f"latent {index} never fired, so there is no histogram")
        from monoseme.web.latent import _histogram

        return _histogram.chart(Histogram(edges=list(found.edges), counts=list(found.counts)))
