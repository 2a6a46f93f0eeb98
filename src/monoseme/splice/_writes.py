"""What latents write: what a code of 1 adds to the reconstruction, for any SAE whose decoder is linear.

Letters: n latents, L sites, D width.
"""

import torch

from monoseme.saes import Codes
from monoseme.splice._contract import SAELike, as_computed
from monoseme.tensors.shapes import Float, Int, Tensor
from monoseme.tensors.sparse import SparseCodes

_SIZE = 4096.0
"""Of the code that is decoded: large, so that what a bias rounds away is small beside it; a power of two divides exactly."""


@torch.no_grad()
def written_by(sae: SAELike, latents: Int[Tensor, " n"], *, per_site: tuple[int, ...] = ()) -> Float[Tensor, "n *L D"]:
    """What a code of 1 for each of these latents adds to the reconstruction, float64 on the CPU.

    `per_site` is (L,) where each of L input sites has codes of its own: the latent is on at all of them. Taken from `decode`
    itself, so that it holds for every architecture and includes a lens or folded scales; all are decoded at once.
    """
    lead = (len(latents), *per_site)
    ones = as_computed(sae, torch.ones(*lead, 1))
    which = latents.to(ones.device).reshape(-1, *(1 for _ in per_site), 1).expand(*lead, 1)
    on = SparseCodes.from_topk(which, _SIZE * ones, sae.n_latents)
    none = on.with_values(torch.zeros_like(on.values))
    offset = torch.zeros_like(ones)
    with_it, without = (sae.decode(Codes({"all": codes}, offset, ones)) for codes in (on, none))
    return (with_it.cpu().double() - without.cpu().double()) / _SIZE
