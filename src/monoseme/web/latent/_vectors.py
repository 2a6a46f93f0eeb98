"""What a latent writes, as numbers that can be taken elsewhere."""

import threading
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.numpy import save

from monoseme.saes import SAE, load_sae
from monoseme.splice import written_by
from monoseme.web.latent.answers import LatentVectors, WrittenVector
from monoseme.web.run_files import ScannedSae, check_latent


class Decoders:
    """The SAE that was last asked for, on the CPU: a vector needs no language model. Safe to ask from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last: tuple[Path, SAE] | None = None

    def vectors(self, asked: ScannedSae, index: int) -> dict[str, NDArray[np.float32]]:
        """What a code of 1 adds to the activations, [D] for each site that it writes to.

        Where each site has codes of its own, that of one site writes to that site alone. Raises NotFoundError for a number that
        no latent has.
        """
        with self._lock:
            sae = self._sae(asked.path)
            check_latent(index, sae.n_latents, asked.name)
            roles = sae.roles(len(asked.sites))
            per_site = (len(roles.inputs),) if sae.codes_per_site else ()
            written = written_by(sae, torch.tensor([index]), per_site=per_site)[0].float()
        sites = [str(asked.sites[i]) for i in roles.outputs]
        found = dict(zip(sites, written.reshape(len(sites), -1).numpy(), strict=True))
        return {asked.code_site: found[asked.code_site]} if sae.codes_per_site and asked.code_site in found else found

    def _sae(self, path: Path) -> SAE:
        if self._last is None or self._last[0] != path:
            self._last = (path, load_sae(path).export().eval())
        return self._last[1]


def as_json(vectors: dict[str, NDArray[np.float32]], *, key: str, index: int) -> LatentVectors:
    """The vectors as lists of numbers."""
    found = [
        WrittenVector(site=site, norm=float(np.linalg.norm(vector)), values=vector.tolist()) for site, vector in vectors.items()
    ]
    return LatentVectors(sae=key, index=index, vectors=found)


def as_safetensors(vectors: dict[str, NDArray[np.float32]], facts: dict[str, Any]) -> bytes:
    """One tensor [D] for each site, by the site's name, as `monoseme` exports steering vectors; `facts` are in the header."""
    tensors = {site: np.ascontiguousarray(vector) for site, vector in vectors.items()}
    return save(tensors, metadata={name: str(value) for name, value in facts.items()})
