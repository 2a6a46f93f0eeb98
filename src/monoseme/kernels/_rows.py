"""The contract of an optimiser step by rows: a latent's gradient, projection, Adam and norm in one pass over its weights.

A matrix of latents, [F, D] with one latent's weights together (an encoder [D, F] is given as its transpose), is updated from
factors or from a gradient that lies ready. What the pass does to a row w with gradient g, moments m and v, after `step` steps:

    g <- g - (g . w) w                                   where rows are kept at unit norm
    g <- scale g + weight_decay w                        (w <- (1 - lr weight_decay) w instead, where decay is decoupled)
    m <- beta1 m + (1 - beta1) g,   v <- beta2 v + (1 - beta2) g^2
    w <- w - lr (m / (1 - beta1^step)) / (sqrt(v / (1 - beta2^step)) + eps)
    w <- w / |w|                                         where rows are kept at unit norm; a row of zeros stays

A bfloat16 copy of the matrix, where one is kept, is rewritten in the same pass.

The slow twin is the dense route of `monoseme.training.optimiser`.
Letters: F latents, D model width.
Source: Kingma and Ba 2015 (arXiv:1412.6980), algorithm 1; Loshchilov and Hutter 2019 (arXiv:1711.05101), decoupled decay.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import NamedTuple

import torch

from monoseme.kernels._half import HalfCopy, keep_half_copy, known_half_copy
from monoseme.tensors.factored import FactoredGrad
from monoseme.tensors.notes import changed, note, noted
from monoseme.tensors.shapes import Float, Tensor


class AdamRule(NamedTuple):
    """One step of Adam, as numbers."""

    lr: float
    beta1: float
    beta2: float
    eps: float
    step: int
    """Counted from 1."""
    weight_decay: float
    decoupled: bool
    """AdamW."""


class RowMatrix(NamedTuple):
    """A parameter with its moments, all float32, [F, D] and contiguous; written in place, past torch's count of versions."""

    weight: Float[Tensor, "F D"]
    exp_avg: Float[Tensor, "F D"]
    exp_avg_sq: Float[Tensor, "F D"]
    unit: bool
    """Rows are kept at unit norm."""
    half: HalfCopy | None = None
    """The copy to keep in step; None: there is none."""


class RowUpdates(ABC):
    """What a kernel set needs to offer for the optimiser to go by rows."""

    takes_two: bool = False
    """Whether `step` takes a second factor beside the first."""

    @abstractmethod
    def takes(self, weight: Float[Tensor, "F D"]) -> bool:
        """Whether the matrix is of a device, type and layout that this set can update."""

    @abstractmethod
    def gather(
        self, matrix: RowMatrix, factors: Sequence[FactoredGrad], out: Float[Tensor, "F D"], *, add: bool
    ) -> Float[Tensor, ""]:
        """Writes the sum of the factors (at least one) into `out`, or adds it.

        Returns the squared norm, float64, of `out` as `step` will use it: projected, before scale and decay.
        """

    @abstractmethod
    def step(
        self,
        matrix: RowMatrix,
        gradient: FactoredGrad | Float[Tensor, "F D"],
        rule: AdamRule,
        *,
        scale: float,
        also: FactoredGrad | None = None,
    ) -> Float[Tensor, ""]:
        """The update of the module's docstring in one pass over the weights; returns what `gather` would.

        `also` is a second addend beside a factor, only for sets with `takes_two`.
        """


_UNIT = "unit_rows"


def is_plain_matrix(weight: Float[Tensor, "F D"]) -> bool:
    """float32, on the CPU, a latent's weights together, not empty: what sets for the CPU update by rows."""
    return weight.dtype == torch.float32 and weight.device.type == "cpu" and weight.is_contiguous() and weight.numel() > 0


def row_matrix(parameter: Tensor, moments: tuple[Tensor, Tensor], *, transposed: bool, unit: bool) -> RowMatrix:
    """A parameter with its moments by rows: as it is, [F, D], or the transpose of an encoder's [D, F]."""
    weight, exp_avg, exp_avg_sq = (t.detach().t() if transposed else t.detach() for t in (parameter, *moments))
    return RowMatrix(weight, exp_avg, exp_avg_sq, unit, known_half_copy(parameter))


def note_step(parameter: Tensor, matrix: RowMatrix) -> None:
    """To call after `RowUpdates.step`: the parameter has changed; its half copy and its unit norm hold."""
    changed(parameter)
    if matrix.half is not None:
        keep_half_copy(parameter, matrix.half)
    if matrix.unit:
        note(parameter, _UNIT, True)


def has_unit_rows(parameter: Tensor) -> bool:
    """Whether an optimiser that goes by rows left every row at unit norm (or zero) and nothing has changed since."""
    return noted(parameter, _UNIT) is not None
