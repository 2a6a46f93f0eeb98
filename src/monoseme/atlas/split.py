"""Which documents explain and which measure: the split that keeps a score honest, the same for every latent."""

import numpy as np
from numpy.typing import NDArray

from monoseme.atlas.keys import hash_documents

_SEED = 0x5C0_7E5
HELDOUT_FRACTION = 0.5
"""Share of documents that explainers never see. Half: rare latents need firings on both sides."""


def is_heldout(documents: NDArray[np.int64]) -> NDArray[np.bool_]:
    """True for documents on which explanations are scored, False for those they may be made from."""
    return hash_documents(_SEED, documents).astype(np.float64) < HELDOUT_FRACTION * 2.0**64
