"""Dictionaries: how their rows and b_dec start, and how rows stay at unit norm in training.

Letters: N rows of a sample, D model width, F latents.
"""

from collections.abc import Iterable, Iterator
from typing import Literal

import torch
from torch import nn
from torch.nn import functional

from monoseme.core.errors import TrainingError
from monoseme.core.seeds import generator
from monoseme.kernels import has_unit_rows
from monoseme.tensors.processes import ALONE, Group
from monoseme.tensors.shapes import Float, Tensor

BiasStart = Literal["geometric_median", "mean", "zeros"]
_BLOCK_ROWS = 4096
"""Rows drawn at once. A multiple of 16: torch draws normal numbers in sixteens, so that blocks are what the whole would be."""


def unit_rows(n_rows: int, n_columns: int, *, seed: int, part: Group = ALONE) -> Float[Tensor, "_ D"]:
    """Directions drawn uniformly from the sphere, float32; those of the latents of a rank of `part`, all of one that is alone.

    Holds what it returns and a block of rows.
    """
    stream = generator(seed, "dictionary")
    rows = torch.empty(len(range(part.rank, n_rows, part.size)), n_columns)
    n_done = 0
    for first, n in _blocks(n_rows):
        block = torch.randn(n, n_columns, generator=stream)[(part.rank - first) % part.size :: part.size]
        rows[n_done : n_done + len(block)] = functional.normalize(block, dim=1)
        n_done += len(block)
    return rows


def _blocks(n_rows: int) -> Iterator[tuple[int, int]]:
    """First row and rows of each block; the last is the longest, as torch draws less than sixteen numbers in another way."""
    n_blocks = max(1, n_rows // _BLOCK_ROWS)
    for i in range(n_blocks):
        first = i * _BLOCK_ROWS
        yield first, _BLOCK_ROWS if i < n_blocks - 1 else n_rows - first


def orthogonal_rows(n_rows: int, n_columns: int, *, seed: int, part: Group = ALONE) -> Float[Tensor, "_ D"]:
    """Unit rows, float32: each block of D successive rows is orthonormal and drawn uniformly; the last block may be cut short.

    `part` as in `unit_rows`.
    Source: Saxe et al. 2014 (arXiv:1312.6120) for the start; the signs of the QR decomposition that make the draw uniform are
    those of Mezzadri 2007 (arXiv:math-ph/0609050).
    """
    stream = generator(seed, "dictionary", "orthogonal")
    blocks: list[Tensor] = []
    for first in range(0, n_rows, n_columns):
        q, r = torch.linalg.qr(torch.randn(n_columns, n_columns, generator=stream))
        block = (q * r.diagonal().sign()).t()[: n_rows - first]
        blocks.append(block[(part.rank - first) % part.size :: part.size].clone())
    return torch.cat(blocks).contiguous()


def encoder_parameter(rows: Float[Tensor, "F D"]) -> nn.Parameter:
    """[D, F], stored so that its transpose is contiguous: one latent's weights lie together, as the sparse kernels read them."""
    return nn.Parameter(rows.clone(memory_format=torch.contiguous_format).t())


@torch.no_grad()
def remove_parallel_gradient(parameters: Iterable[nn.Parameter]) -> None:
    """Takes from each `.grad` what is parallel to its parameter's unit rows: the part that the next renormalisation undoes.

    Source: Bricken et al. 2023, "Towards monosemanticity", training notes; Gao et al. 2024, section 2.1.
    """
    for parameter in parameters:
        if parameter.grad is not None:
            along = (parameter.grad * parameter).sum(1, keepdim=True)
            parameter.grad.addcmul_(along, parameter, value=-1)


@torch.no_grad()
def renormalise(parameters: Iterable[nn.Parameter]) -> None:
    """Scales every row to unit norm, in place; what an optimiser left at unit norm is not touched. A row of zeros stays zero."""
    for parameter in parameters:
        if not has_unit_rows(parameter):
            parameter.div_(parameter.norm(dim=1, keepdim=True).clamp_min(torch.finfo(parameter.dtype).tiny))


def start_bias(how: BiasStart, sample: Float[Tensor, "N D"]) -> Float[Tensor, " D"]:
    """Where b_dec begins, in the space of `sample`, float64."""
    if how == "zeros":
        return sample.new_zeros(sample.shape[1], dtype=torch.float64)
    return geometric_median(sample) if how == "geometric_median" else sample.double().mean(0)


def geometric_median(sample: Float[Tensor, "N D"], *, n_steps: int = 100, tolerance: float = 1e-5) -> Float[Tensor, " D"]:
    """The point with the least summed distance to the rows, by Weiszfeld's iteration, in float64.

    Stops after `n_steps`, or when a step is shorter than `tolerance` times the length of the point. Less drawn to outliers
    than the mean. Source: Weiszfeld 1937; as a start for b_dec: Bricken et al. 2023.
    """
    rows = sample.double()
    median = rows.mean(0)
    for _ in range(n_steps):
        weights = 1 / (rows - median).norm(dim=1).clamp_min(1e-12)
        following = (weights.unsqueeze(1) * rows).sum(0) / weights.sum()
        step = (following - median).norm()
        median = following
        if step <= tolerance * median.norm():
            break
    return median


def total_variance(sample: Float[Tensor, "N D"]) -> float:
    """Mean squared distance of a row from the mean row, in float64. Raises TrainingError when it is zero or not finite."""
    rows = sample.double()
    variance = float((rows - rows.mean(0)).square().sum(1).mean())
    if not 0 < variance < float("inf"):
        raise TrainingError(
            f"the {rows.shape[0]} activations given to start() have variance {variance}: there is nothing to learn from.\n"
            "  Give a larger sample, or look for NaN and infinite activations at this site."
        )
    return variance
