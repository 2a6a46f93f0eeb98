"""Errors of prefixes as running sums: values and gradients of the plain formula.

Letters: B = 5 rows, D = 7, G = 3 groups.
"""

import pytest
import torch
from torch import Tensor

from monoseme.saes._prefix_errors import prefix_errors

B, D, G = 5, 7, 3


def _inputs() -> list[Tensor]:
    random = torch.Generator().manual_seed(0)
    return [torch.randn(shape, generator=random, dtype=torch.float64, requires_grad=True) for shape in ((B, D), (G, B, D), (D,))]


def test_errors_are_what_each_prefix_leaves() -> None:
    rows, added, b_dec = _inputs()
    squares, last = prefix_errors(rows, added, b_dec)
    x_hats = added.cumsum(0) + b_dec
    assert torch.allclose(squares, (rows - x_hats).square().sum((1, 2)), rtol=1e-12)
    assert torch.allclose(last, rows - x_hats[-1], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("uses", ["squares", "last", "both"])
def test_gradients_match_finite_differences(uses: str) -> None:
    weights = torch.tensor([0.2, 0.0, 3.0], dtype=torch.float64)

    def value(rows: Tensor, added: Tensor, b_dec: Tensor) -> Tensor:
        squares, last = prefix_errors(rows, added, b_dec)
        parts = {"squares": (squares * weights).sum(), "last": last.sin().sum()}
        return parts[uses] if uses != "both" else parts["squares"] + parts["last"]

    assert torch.autograd.gradcheck(value, _inputs())
