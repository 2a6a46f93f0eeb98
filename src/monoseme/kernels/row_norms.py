"""Norms of rows, on the CPU: which rows are longer than a limit, which are kept, and how the norms of both are spread.

By compiled loops where there is Numba: a row costs some nanoseconds, and by operations of torch a hundred, which at the widths
of small models would be most of what measuring costs. Counts are exact; sums are float64, in the order of the rows.
Letters: R rows, K of them kept, S places.
"""

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from monoseme.kernels.dispatch import resolve
from monoseme.tensors.shapes import Bool, Float, Int, Tensor


class NormSpread(NamedTuple):
    """How norms are spread so far; all is added to in place."""

    bins: NDArray[np.int64]
    """[N]; kept rows by the leading bits of their norm (a float32): those above the `shift` last, less `first`. What is below
    bin 0 is counted there, what is above the last bin in the last."""
    place_n: NDArray[np.int64]
    """[2, S]; by place, the kept rows and all rows of finite norm."""
    place_sums: NDArray[np.float64]
    """[2, S]; their norms' sums."""
    n_not_finite: NDArray[np.int64]
    """[1]; rows that would be kept, but for NaN or infinity."""
    shift: int
    first: int

    @classmethod
    def zero(cls, *, n_bins: int, n_places: int, shift: int, first: int) -> "NormSpread":
        """Before the first row."""
        place_n, place_sums = np.zeros((2, n_places), np.int64), np.zeros((2, n_places))
        return cls(np.zeros(n_bins, np.int64), place_n, place_sums, np.zeros(1, np.int64), shift, first)


def add_norms(
    so_far: NormSpread, norms: Float[Tensor, " R"], seen: Bool[Tensor, " R"], place: Int[Tensor, " R"]
) -> Int[Tensor, " K"]:
    """Adds R norms (float32) of rows at their `place`; gives the rows that are kept: seen, and of finite norm."""
    if _has_loops():
        from monoseme.kernels import _cpu_row_norms as loops

        rows = torch.empty(len(norms), dtype=torch.int64)
        return rows[: loops.add_norms(so_far, norms.numpy(), seen.numpy(), place.numpy(), rows.numpy())]
    finite = norms.isfinite()
    kept = (seen & finite).nonzero().squeeze(1)
    n_places = so_far.place_n.shape[1]
    for i, rows in enumerate((kept, finite.nonzero().squeeze(1))):
        so_far.place_n[i] += torch.bincount(place[rows], minlength=n_places).numpy()
        so_far.place_sums[i] += torch.bincount(place[rows], weights=norms[rows].double(), minlength=n_places).numpy()
    bins = ((norms[kept].view(torch.int32) >> so_far.shift) - so_far.first).clamp_(0, len(so_far.bins) - 1)
    so_far.bins[:] += torch.bincount(bins, minlength=len(so_far.bins)).numpy()
    so_far.n_not_finite[0] += int((seen & ~finite).sum())
    return kept


class Longer(NamedTuple):
    """Rows longer than a limit."""

    marked: Bool[Tensor, " R"]
    n: int


def mark_longer(norms: Float[Tensor, " R"], limit: float, mask: Bool[Tensor, " R"], any_site: Bool[Tensor, " R"]) -> Longer:
    """The masked rows that are longer than `limit` and finite; they are set in `any_site` too."""
    if _has_loops():
        from monoseme.kernels import _cpu_row_norms as loops

        marked = torch.empty_like(mask)
        return Longer(marked, int(loops.mark_longer(norms.numpy(), limit, mask.numpy(), marked.numpy(), any_site.numpy())))
    marked = mask & (norms > limit) & norms.isfinite()
    any_site |= marked
    return Longer(marked, int(marked.sum()))


def _has_loops() -> bool:
    return resolve("auto", "cpu") == "numba"
