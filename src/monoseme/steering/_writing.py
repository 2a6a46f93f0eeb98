"""What latents write at a site: the directions of methods that act on activations.

Letters: n latents, L sites, D width.
"""

from collections.abc import Sequence

import torch

from monoseme.core.errors import ConfigError, SiteError
from monoseme.models import Site
from monoseme.saes import SAE
from monoseme.splice import Placed, written_by
from monoseme.tensors.shapes import Float, Tensor


def written(placed: Placed, latents: Sequence[int], site: Site) -> Float[Tensor, "n D"]:
    """What a code of 1 for each latent adds at one of the SAE's outputs, float32 on the CPU.

    Where each site has codes of its own (MLSAE), it is the code there; a latent that reads at one site and writes at several
    (CLT) is on at all it reads. Raises SiteError for a place where the SAE writes nothing, ConfigError for a latent it lacks.
    """
    if site not in placed.outputs:
        raise SiteError(f"this SAE writes nothing at {site}.\n  Allowed: {', '.join(map(str, placed.outputs))}")
    for latent in latents:
        if not 0 <= latent < placed.sae.n_latents:
            raise ConfigError(f"there is no latent {latent}: this SAE has {placed.sae.n_latents:,}, counted from 0")
    per_site = (len(placed.inputs),) if placed.sae.codes_per_site else ()
    rows = written_by(placed.sae, torch.tensor(latents, dtype=torch.int64), per_site=per_site)
    if rows.ndim == 3:
        rows = rows[:, placed.outputs.index(site)]
    return rows.float()


def is_standardised(sae: object) -> bool:
    """Whether its codes count in each vector's own standard deviations, so that no latent writes a fixed vector."""
    return isinstance(sae, SAE) and sae.unit == "standardised"
