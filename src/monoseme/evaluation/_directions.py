"""What latents write: the direction in which each moves the reconstruction, for any SAE whose decoder is linear.

Letters: F latents, L output sites, D width.
"""

import torch
from torch.nn import functional

from monoseme.saes import SAE
from monoseme.splice import written_by
from monoseme.tensors.shapes import Float, Tensor

_MOST_NUMBERS = 1 << 24
"""Decoded at a time, 64 MB."""


def directions_of(sae: SAE, *, n_sites: int) -> Float[Tensor, "F D"]:
    """What each latent adds to the reconstruction, of length 1, float64 on the CPU; at several sites where it adds most.

    A latent that adds nothing has a row of zeros.
    """
    added = writes_of(sae, n_sites=n_sites)
    if added.dim() == 3:
        strongest = added.norm(dim=2).argmax(1)
        added = added[torch.arange(len(added)), strongest]
    return functional.normalize(added, dim=1)


@torch.no_grad()
def writes_of(sae: SAE, *, n_sites: int) -> Float[Tensor, "F *L D"]:
    """What a code of 1 for each latent adds to the reconstruction, float64 on the CPU: [F, D], or [F, L, D] at several sites.

    Where each site has codes of its own, the latent is on at all of them. A slice of latents at a time is decoded.
    """
    per_site = (len(sae.roles(n_sites).inputs),) if sae.codes_per_site else ()
    n_at_once = max(1, _MOST_NUMBERS // (sae.d_out * max(1, n_sites)))
    latents = torch.arange(sae.n_latents, device=sae.input_factor.device)
    return torch.cat([written_by(sae, some, per_site=per_site) for some in latents.split(n_at_once)])
