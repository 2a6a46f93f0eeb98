"""An orthogonal start of the dictionary.

Letters: D model width, F latents.
"""

import torch

from monoseme.core.seeds import generator
from monoseme.tensors.shapes import Float, Tensor


def orthogonal_rows(n_rows: int, n_columns: int, *, seed: int) -> Float[Tensor, "F D"]:
    """Unit rows, float32: each block of D successive rows is orthonormal and drawn uniformly; the last block may be cut short.

    Source: Saxe et al. 2014 (arXiv:1312.6120) for the start; the signs of the QR decomposition that make the draw uniform are
    those of Mezzadri 2007 (arXiv:math-ph/0609050).
    """
    stream = generator(seed, "dictionary", "orthogonal")
    blocks: list[Tensor] = []
    for first in range(0, n_rows, n_columns):
        q, r = torch.linalg.qr(torch.randn(n_columns, n_columns, generator=stream))
        blocks.append((q * r.diagonal().sign()).t()[: n_rows - first])
    return torch.cat(blocks).contiguous()
