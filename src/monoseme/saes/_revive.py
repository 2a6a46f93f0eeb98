"""What dead latents could add: the decoded strongest dead latents of each row, for auxiliary losses that revive them.

Letters: B rows, D model width, m dead latents.
Source: Gao et al. 2024 (arXiv:2406.04093), appendix A.2.
"""

from monoseme.kernels import Encoder
from monoseme.saes._base import SAE
from monoseme.tensors.shapes import Float, Int, Tensor


def revived(sae: SAE, rows: Float[Tensor, "B D"], dead: Int[Tensor, " m"], *, k_aux: int) -> Float[Tensor, "B D"]:
    """relu(top k_aux of the dead pre-activations) W_dec for rows of the normalised space, without a bias.

    Fewer than `k_aux` latents are taken where fewer are dead. b_dec is a constant here, so the result moves the weights of dead
    latents only: W_enc, W_dec, and b_enc where it is a parameter.
    """
    encoder = Encoder(sae.W_enc, sae.b_enc, sae.b_dec.detach())
    codes = sae.kernels.encode_topk(rows.detach(), encoder, k_aux, among=dead)
    return sae.kernels.decode(codes.with_values(codes.values.relu()), sae.W_dec)
