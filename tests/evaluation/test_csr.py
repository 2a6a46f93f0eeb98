"""Sparse codes for SciPy."""

import numpy as np
import pytest
import torch

from monoseme.evaluation._csr import as_csr, members
from monoseme.tensors.sparse import SparseCodes

_DENSE = torch.tensor([[0.0, 2.0, 0.5], [0.0, 0.0, 0.0], [1.5, 0.0, 0.0], [0.0, 0.0, 3.0], [0.25, 0.0, 1.0]])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_scipy_has_the_codes_in_the_type_asked_for(dtype: type) -> None:
    made = as_csr(SparseCodes.from_dense(_DENSE.bfloat16()), dtype=dtype)
    assert made.dtype == dtype
    np.testing.assert_array_equal(made.toarray(), _DENSE.numpy())


def test_members_sum_the_rows_of_each_group_and_of_none() -> None:
    summed = members(np.array([2, 0, 2, 2, 0]), 4) @ as_csr(SparseCodes.from_dense(_DENSE))
    np.testing.assert_array_equal(summed.toarray(), [[0.25, 0, 1], [0, 0, 0], [1.5, 2, 3.5], [0, 0, 0]])
