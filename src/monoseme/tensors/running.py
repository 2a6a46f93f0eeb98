"""Running mean and variance of rows, per column, in float64, mergeable over batches, processes and resumes.

Letters: B rows, D columns.
Source: Chan, Golub and LeVeque 1983, "Algorithms for computing the sample variance", equation 1.5 (merging two samples).
"""

from collections.abc import Mapping

import torch

from monoseme.tensors.shapes import Float, Tensor


class RunningMoments:
    """Count, mean and variance of the rows seen so far; reductions are in float64.

    >>> moments = RunningMoments(2)
    >>> moments.update(torch.tensor([[1.0, 5.0], [3.0, 5.0]]))
    >>> moments.n, moments.mean.tolist(), moments.var().tolist()
    (2, [2.0, 5.0], [1.0, 0.0])
    """

    def __init__(self, n_columns: int, *, device: torch.device | str = "cpu") -> None:
        self.n = 0
        device = float64_device(torch.device(device))
        self._mean = torch.zeros(n_columns, dtype=torch.float64, device=device)
        self._squares = torch.zeros(n_columns, dtype=torch.float64, device=device)

    def __repr__(self) -> str:
        return f"RunningMoments({self.n_columns}, n={self.n})"

    @property
    def n_columns(self) -> int:
        """D."""
        return self._mean.shape[0]

    @property
    def mean(self) -> Float[Tensor, " D"]:
        """Mean per column, float64; zeros before the first row."""
        return self._mean.clone()

    def var(self, *, unbiased: bool = False) -> Float[Tensor, " D"]:
        """Variance per column, float64: divided by n, or by n - 1 when `unbiased`. NaN where that divisor is not positive."""
        divisor = self.n - 1 if unbiased else self.n
        return self._squares / divisor if divisor > 0 else torch.full_like(self._squares, torch.nan)

    def update(self, rows: Float[Tensor, "B D"]) -> None:
        """Adds B rows; the dtype may be any float, the sums are float64."""
        if rows.shape[0] == 0:
            return
        rows = rows.detach().to(self._mean.device).to(torch.float64)
        mean = rows.mean(0)
        self._absorb(rows.shape[0], mean, (rows - mean).square().sum(0))

    def merge(self, other: "RunningMoments") -> None:
        """Adds the rows `other` has seen, as if they had been given here (up to float64 rounding)."""
        if other.n:
            device = self._mean.device
            self._absorb(other.n, other._mean.to(device), other._squares.to(device))

    def _absorb(self, n: int, mean: Float[Tensor, " D"], squares: Float[Tensor, " D"]) -> None:
        n_both = self.n + n
        gap = mean - self._mean
        self._mean += gap * (n / n_both)
        self._squares += squares + gap.square() * (self.n * n / n_both)
        self.n = n_both

    def state(self) -> dict[str, Tensor]:
        """Tensors from which `from_state` makes the same statistics, bit for bit."""
        return {"n": torch.tensor(self.n), "mean": self._mean.clone(), "squares": self._squares.clone()}

    @classmethod
    def from_state(cls, state: Mapping[str, Tensor]) -> "RunningMoments":
        """The inverse of `state`."""
        made = cls(state["mean"].shape[0], device=state["mean"].device)
        made.n = int(state["n"])
        made._mean.copy_(state["mean"])
        made._squares.copy_(state["squares"])
        return made


def float64_device(device: torch.device) -> torch.device:
    """`device`, or the CPU where the device has no float64 (MPS)."""
    return torch.device("cpu") if device.type == "mps" else device
