"""Sums over tokens from which every metric of x and its reconstruction follows.

All per-token numbers and sums are float64. x is shifted by a constant row before its variance is taken, which changes nothing in
exact arithmetic and keeps the digits where the mean is far larger than the spread.

Letters: T tokens of a chunk, D width, W weightings; e = x - x_hat; c the shift.
"""

import torch

from monoseme.evaluation._bootstrap import WeightedSums, ratio
from monoseme.evaluation._chunks import DocumentRows
from monoseme.tensors.running import float64_device
from monoseme.tensors.shapes import Float, Tensor

SHIFTED_ROUNDING = 1e-20
"""Variance / mean square below which shifted data is constant: float32 data that varies at all has above 1e-14."""
_ROUNDING = 1e-13
"""The same for data that was not shifted, where the mean square itself cancels to 1e-16 times some terms."""


def token_values(
    x: Float[Tensor, "T D"], x_hat: Float[Tensor, "T D"], shift: Float[Tensor, " D"]
) -> dict[str, Float[Tensor, "T *rest"]]:
    """What is summed per token, float64: name -> [T], or [T, D] for the two vectors."""
    x, x_hat, shift = _double(x), _double(x_hat), _double(shift)
    e = x - x_hat
    ee, xx, hh, xh = e.square().sum(-1), x.square().sum(-1), x_hat.square().sum(-1), (x * x_hat).sum(-1)
    n = torch.ones_like(ee)
    has_ratio, has_cosine = (xx > 0).double(), ((xx > 0) & (hh > 0)).double()
    legacy = ratio(ee, (x - x.mean(0)).square().sum(-1))
    return {
        "n": n,
        "ee": ee,
        "xx": xx,
        "hh": hh,
        "xh": xh,
        "yy": (x - shift).square().sum(-1),
        "y": x - shift,
        "e": e,
        "x_entries": x.sum(-1),
        "e_entries": e.sum(-1),
        "error_norm": ee.sqrt(),
        "in_norm": xx.sqrt(),
        "out_norm": hh.sqrt(),
        "has_ratio": has_ratio,
        "ratio": torch.where(has_ratio > 0, hh.sqrt() / xx.sqrt(), 0.0),
        "has_cosine": has_cosine,
        "cosine": torch.where(has_cosine > 0, xh / (xx.sqrt() * hh.sqrt()), 0.0),
        "has_legacy": legacy.isfinite().double(),
        "legacy": torch.where(legacy.isfinite(), 1 - legacy, 0.0),
        "saebench_mse": ee / len(ee),
    }


def _double(x: Tensor) -> Tensor:
    return x.detach().to(float64_device(x.device)).to(torch.float64)


def per_document(values: dict[str, Tensor], rows: DocumentRows) -> dict[str, Tensor]:
    """Sums per document of what `token_values` gives; the scalars go through one addition."""
    scalars = {name: value for name, value in values.items() if value.ndim == 1}
    sums = rows.sums(torch.stack(list(scalars.values()), dim=1)).unbind(1)
    vectors = {name: rows.sums(value) for name, value in values.items() if value.ndim > 1}
    return dict(zip(scalars, sums, strict=True)) | vectors


def batch_values(batch: WeightedSums, *, width: int) -> dict[str, Float[Tensor, " W"]]:
    """What the metrics that are means over batches add for one batch, with how many batches have it (`has_*`)."""
    n = batch["n"]
    entries = n * width
    x_var = batch["xx"] - batch["x_entries"].square() / entries
    e_var = batch["ee"] - batch["e_entries"].square() / entries
    means = {
        "batch_xx": ratio(batch["xx"], n),
        "batch_ee": ratio(batch["ee"], n),
        "batch_bias": batch["hh"] / batch["xh"],
        "batch_mlsae": ratio(batch["ee"] / entries, positive_variance(x_var, batch["xx"]) / (entries - 1)),
        "batch_tfa": ratio(e_var.clamp(min=0), positive_variance(x_var, batch["xx"])),
    }
    counts = {f"has_{name}": value.isfinite().double() for name, value in means.items()}
    return {name: value.nan_to_num(nan=0.0, posinf=0.0, neginf=0.0) for name, value in means.items()} | counts


def positive_variance(variance: Tensor, mean_square: Tensor, *, rounding: float = _ROUNDING) -> Tensor:
    """The variance, or 0 where it is no more than rounding of data of that mean square."""
    return torch.where(variance > rounding * mean_square, variance, 0.0)
