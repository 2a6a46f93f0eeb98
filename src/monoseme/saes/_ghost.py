"""Ghost gradients: dead latents, switched on through an exponential, learn to explain half of what is left over.

For each row with residual e = x - x_hat (detached) and the dead latents' pre-activations z:

    g = exp(z) W_dec[dead],   s = ||e|| / (2 ||g||),   term = mean_b ||e - s g||^2,   loss = term * (reconstruction / term)

where s and the last bracket count as constants: the loss has the size of the reconstruction's and a gradient of its own.

Source: Jermyn and Templeton 2024, "Ghost grads: an improvement on resampling" (Circuits Updates, January 2024).
Differs from it: b_dec is a constant in the encoder, as in AuxK, so that only dead latents move.
Letters: B rows, D model width, F latents, m of them dead.
"""

from monoseme.kernels import Encoder, Kernels
from monoseme.saes._dead import n_dead, with_fixed_centre
from monoseme.tensors.joint import mean_over
from monoseme.tensors.shapes import Float, Int, Tensor


def ghost(
    x: Float[Tensor, "B D"],
    residual: Float[Tensor, "B D"],
    encoder: Encoder,
    W_dec: Float[Tensor, "F D"],
    *,
    dead: Int[Tensor, " m"],
    size: Float[Tensor, ""],
    kernels: Kernels,
) -> Float[Tensor, ""]:
    """The loss above, scaled to `size`; 0 when nothing is dead or nothing is left over.

    x and residual are in the space of the weights. Sums are in the dtype of x.
    """
    residual = residual.detach()
    ranks, n_silent = kernels.mesh.rows, n_dead(dead, kernels)
    if n_silent == 0 or not bool(ranks.max(residual.any())):
        return residual.new_zeros(())
    codes = kernels.encode_topk(x.detach(), with_fixed_centre(encoder), n_silent, among=dead)
    explained = kernels.decode(codes.with_values(codes.values.exp()), W_dec)
    tiny = 1e-12  # a row that the dead latents do not reach at all stays finite
    scale = residual.norm(dim=1, keepdim=True) / (2 * explained.detach().norm(dim=1, keepdim=True) + tiny)
    term = (residual - scale * explained).square().sum(1).mean()
    whole, paid = (mean_over(ranks, t.detach(), n_rows=len(x)) for t in (size, term))
    return term * (whole / paid)
