"""What the latents of an SAE write, as vectors to compare.

Letters: F latents, L sites, D width.
"""

import numpy as np
import torch

from monoseme.atlas.relations.relating import Written
from monoseme.splice import SAELike, written_by

_NUMBERS_AT_ONCE = 1 << 23


@torch.no_grad()
def what_latents_write(sae: SAELike, *, n_sites: int) -> Written:
    """What a code of 1 for each latent adds to the reconstruction, [F, L D] float32; of several sites one beside the other.

    Where each site has codes of its own, the latent is on at all of them.
    """
    per_site = (len(sae.roles(n_sites).inputs),) if sae.codes_per_site else ()
    n_at_once = max(1, _NUMBERS_AT_ONCE // (sae.d_in * n_sites))
    parts = [written_by(sae, some, per_site=per_site).float().flatten(1) for some in torch.arange(sae.n_latents).split(n_at_once)]
    return Written(np.concatenate([part.numpy() for part in parts]))
