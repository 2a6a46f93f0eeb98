"""What latents write: the direction in which each moves the reconstruction, for any SAE whose decoder is linear.

Letters: F latents, L output sites, D width.
"""

import torch
from torch.nn import functional

from monoseme.saes import SAE, Codes
from monoseme.tensors.shapes import Float, Int, Tensor
from monoseme.tensors.sparse import SparseCodes

_SIZE = 4096.0
"""Of the code that is decoded: large, so that what a bias rounds away is small beside it; a power of two divides exactly."""
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

    Where each site has codes of its own, the latent is on at all of them. Taken from `decode` itself, a slice of latents at a
    time, so that it holds for every architecture and includes a lens or folded scales.
    """
    per_site = (len(sae.roles(n_sites).inputs),) if sae.codes_per_site else ()
    n_at_once = max(1, _MOST_NUMBERS // (sae.d_out * max(1, n_sites)))
    latents = torch.arange(sae.n_latents, device=sae.input_factor.device)
    return torch.cat([_added(sae, some, per_site) for some in latents.split(n_at_once)])


def _added(sae: SAE, latents: Int[Tensor, " n"], per_site: tuple[int, ...]) -> Float[Tensor, "n *L D"]:
    lead = (len(latents), *per_site)
    which = latents.reshape(-1, *(1 for _ in per_site), 1).expand(*lead, 1)
    ones = torch.ones(*lead, 1, dtype=sae.input_factor.dtype, device=latents.device)
    on = SparseCodes.from_topk(which, _SIZE * ones, sae.n_latents)
    none = on.with_values(torch.zeros_like(on.values))
    offset = torch.zeros_like(ones)
    with_it, without = (sae.decode(Codes({"all": codes}, offset, ones)) for codes in (on, none))
    return (with_it.cpu().double() - without.cpu().double()) / _SIZE
