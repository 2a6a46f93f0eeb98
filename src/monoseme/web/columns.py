"""Columns of numbers as an answer of plain bytes: for a plot of every latent, JSON would be many times as long."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from starlette.responses import Response

BYTES: dict[int | str, dict[str, Any]] = {200: {"content": {"application/octet-stream": {}}}}
"""What the schema of the API says of such an answer."""


def floats(columns: NDArray[np.float32]) -> Response:
    """Little-endian float32, one column behind the other; NaN where a number is missing."""
    return plain_bytes(columns.astype("<f4").tobytes())


def plain_bytes(body: bytes) -> Response:
    """Bytes as they are."""
    # Mantissas do not compress, and trying holds up every other answer for tens of milliseconds.
    return Response(body, media_type="application/octet-stream", headers={"content-encoding": "identity"})
