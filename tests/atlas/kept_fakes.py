"""Kept codes of a few tokens, from a dense table."""

import numpy as np

from monoseme.atlas.kept_codes import KeptCodes


def kept_of(dense: np.ndarray) -> KeptCodes:
    """Kept codes [M, F] of one context."""
    row, latent = np.nonzero(dense)
    by_latent = np.lexsort((row, latent))
    n_tokens, n_latents = dense.shape
    return KeptCodes(
        document=np.zeros(n_tokens, np.int64),
        position=np.arange(n_tokens),
        contexts=np.array([0, n_tokens]),
        ordinals=np.array([0]),
        token_offsets=np.searchsorted(row, np.arange(n_tokens + 1)),
        token_latents=latent.astype(np.int32),
        token_values=dense[row, latent],
        latent_offsets=np.searchsorted(latent[by_latent], np.arange(n_latents + 1)),
        latent_rows=row[by_latent].astype(np.int32),
        latent_values=dense[row, latent][by_latent],
    )
