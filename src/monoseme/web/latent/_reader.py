"""Reads the page of a latent."""

import threading
from typing import TYPE_CHECKING

from monoseme.web.latent.answers import Judgements, LatentCard, LatentDetail, LatentVectors, Trial
from monoseme.web.run_files import RunFiles, check_latent

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from monoseme.atlas import Atlas
    from monoseme.models import LanguageModel
    from monoseme.web.latent._vectors import Decoders


class LatentReader:
    """The latents of one run, one at a time. Safe to ask from several threads."""

    def __init__(self, files: RunFiles) -> None:
        self._files = files
        self._lock = threading.Lock()
        self._roles: dict[str, dict[str, NDArray[np.float64]]] = {}
        self._decoders: Decoders | None = None

    def detail(self, sae: str, index: int) -> LatentDetail:
        """Everything about a latent."""
        from monoseme.web.latent import _detail, _layers, _said

        atlas = self._files.atlas_with(sae, index)
        page, annotations = atlas.latent(sae, index), atlas.annotations(sae)
        beside = _detail.Beside(
            site=self._files.read_by(sae),
            fires_on=atlas.latents(sae).row(index)["example_texts"] or (),
            layers=_layers.layers(self._files, atlas, sae, index),
            roles=_layers.role_densities(self._role_densities(atlas, sae), index),
            words=_said.words(annotations, _detail.related_indices(page)),
        )
        return _detail.detail(page, annotations, beside)

    def card(self, sae: str, index: int) -> LatentCard:
        """The small card."""
        from monoseme.web.latent import _detail

        atlas = self._files.atlas_with(sae, index)
        tokens = atlas.latents(sae).row(index)["example_texts"] or ()
        return _detail.card(atlas.latent(sae, index), atlas.annotations(sae), tokens)

    def judgements(self, sae: str, index: int, part: str) -> Judgements:
        """The judgements behind the scores called `part`. Raises NotFoundError where there are no such scores."""
        from monoseme.web.latent._judged import judgements

        return judgements(self._files.atlas_with(sae, index), sae, index, part)

    async def trial(self, sae: str, index: int, text: str) -> Trial:
        """The latent on each token of a text. Raises NotFoundError, and UnavailableError without the model."""
        files = self._files
        asked = files.sae(sae)

        def work(model: "LanguageModel") -> Trial:
            from monoseme.web.latent._trial import trial

            own = files.worker.sae(asked.path, model)
            check_latent(index, own.n_latents, sae)
            return trial(model, own, asked, text, key=sae, index=index, begins_with_bos=files.begins_with_bos)

        return await files.worker.call(files.model, work)

    def vectors(self, sae: str, index: int) -> LatentVectors:
        """What it writes, as numbers."""
        from monoseme.web.latent._vectors import as_json

        return as_json(self._written(sae, index), key=sae, index=index)

    def vector_file(self, sae: str, index: int) -> bytes:
        """What it writes, as a safetensors file."""
        from monoseme.web.latent._vectors import as_safetensors

        facts = {"sae": sae, "latent": index, "model": self._files.model_name, "what": "added by a code of 1"}
        return as_safetensors(self._written(sae, index), facts)

    def _written(self, sae: str, index: int) -> "dict[str, NDArray[np.float32]]":
        from monoseme.web.latent._vectors import Decoders

        asked = self._files.sae(sae)
        with self._lock:
            self._decoders = self._decoders or Decoders()
        return self._decoders.vectors(asked, index)

    def _role_densities(self, atlas: "Atlas", sae: str) -> "dict[str, NDArray[np.float64]]":
        """Read once: a table of all latents."""
        latents = atlas.latents(sae)
        with self._lock:
            if latents.content_hash not in self._roles:
                self._roles[latents.content_hash] = latents.role_densities()
            return self._roles[latents.content_hash]
