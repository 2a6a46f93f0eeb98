"""The loop that rounds rows to int8. One thread: the model has the others.

Letters: R rows, D columns.
"""

from typing import Any

import numpy as np

from monoseme.kernels._compiled import exact


@exact
def round_rows(x: Any, codes: Any, scale: Any) -> None:
    """Fills `codes` [R, D] (int8) and `scale` [R] (float32) from `x` [R, D] (float32, finite)."""
    bits, scale_bits = x.view(np.int32), scale.view(np.int32)
    for i in range(x.shape[0]):
        most = np.int32(0)
        for j in range(x.shape[1]):  # without their sign, floats are ordered as their bits are
            most = max(most, np.int32(bits[i, j] & np.int32(0x7FFFFFFF)))
        scale_bits[i] = most
        scale[i] /= np.float32(127)
        divisor = scale[i] if scale[i] > 0 else np.float32(1)
        for j in range(x.shape[1]):
            code = np.rint(x[i, j] / divisor)
            codes[i, j] = np.int8(max(np.float32(-127), min(np.float32(127), code)))
