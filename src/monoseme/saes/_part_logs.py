"""How a predicted and a novel part share the work: what TFA's own training logs say of them.

Letters: B rows, D model width, F latents. x, parts and bias are in the normalised space. Cosines and energies are means over rows
unless said otherwise; the original's `mse` and `nmse` include the sparsity penalty, ours do not.
Source: arXiv:2511.01836 and the training script of its code.
"""

import torch
from torch.nn import functional

from monoseme.tensors.shapes import Float, Tensor
from monoseme.tensors.sparse import SparseCodes

_ZERO = 1e-5
"""A code below this counts as zero in `p_sparsity`, as in the original."""


@torch.no_grad()
def part_logs(
    x: Float[Tensor, "B D"],
    predicted: Float[Tensor, "B D"],
    novel: Float[Tensor, "B D"],
    *,
    bias: Float[Tensor, " D"],
    predicted_code: Float[Tensor, "B F"],
    novel_code: SparseCodes,
) -> dict[str, Tensor]:
    """Numbers of a batch: x_hat = predicted + novel + bias; the codes are those of the parts.

    `mse` per row and `nmse` = mse / mean||x||^2; `variance_explained` over all entries; `mse_bias` of the bias alone, `mse_pred`
    and `mse_novel` of one part with the bias, and these over mse_bias; `rel_energy`, the share of the predicted part in
    sum||predicted||^2 + sum||novel||^2; cosines of the parts' reconstructions, codes, and errors; `p_sparsity`, the percentage
    of novel codes that are zero; `l0/novel` and `l0/predicted`.
    """
    centred = x - bias
    error = centred - predicted - novel
    of_bias, of_predicted, of_novel = (_mean_square(e) for e in (centred, centred - predicted, centred - novel))
    energy, energy_novel = predicted.square().sum(), novel.square().sum()
    return {
        "mse": _mean_square(error),
        "nmse": _mean_square(error) / _mean_square(x),
        "variance_explained": 1 - error.var() / x.var(),
        "mse_bias": of_bias,
        "mse_pred": of_predicted,
        "mse_novel": of_novel,
        "nmse_pred": of_predicted / of_bias,
        "nmse_novel": of_novel / of_bias,
        "rel_energy": energy / (energy + energy_novel).clamp_min(torch.finfo(x.dtype).tiny),
        "pn_recons_similarity": _cosine(predicted, novel),
        "error_similarity": _cosine(centred - predicted, centred - novel),
        **_code_logs(predicted_code, novel_code),
    }


def _code_logs(predicted: Float[Tensor, "B F"], novel: SparseCodes) -> dict[str, Tensor]:
    rows, values = novel.rows(), novel.values
    both = torch.stack([values * predicted[rows, novel.indices.long()], values.square()], 1)
    products = predicted.new_zeros(novel.n_rows, 2).index_add_(0, rows, both)
    norms = (predicted.norm(dim=1) * products[:, 1].sqrt()).clamp_min(torch.finfo(values.dtype).tiny)
    n_zero = predicted.numel() - (values.abs() >= _ZERO).sum()
    return {
        "pn_code_similarity": (products[:, 0] / norms).mean(),
        "p_sparsity": 100 * n_zero.to(values.dtype) / predicted.numel(),
        "l0/predicted": (predicted != 0).sum(1).to(values.dtype).mean(),
        "l0/novel": novel.l0().to(values.dtype).mean(),
    }


def _mean_square(rows: Float[Tensor, "B width"]) -> Float[Tensor, ""]:
    return rows.square().sum(1).mean()


def _cosine(left: Float[Tensor, "B width"], right: Float[Tensor, "B width"]) -> Float[Tensor, ""]:
    return functional.cosine_similarity(left, right, dim=1).mean()
