"""The decorators of loops that Numba compiles: `serial` for helpers, which are inlined, and `parallel` for what is launched.

Compiled at the first call and kept for later processes (`monoseme.kernels._first_use`). Division by zero gives infinity, as in
numpy; sums may be reordered, but NaN and infinity are not assumed away; `exact` reorders nothing. Calls of parallel loops
go through `monoseme.kernels._threads.launch`.
"""

import inspect
from collections.abc import Callable
from typing import Any

from numba import njit
from numpy.typing import NDArray

from monoseme.kernels._first_use import prepare

Array = NDArray[Any]
"""What loops are given; the number of dimensions is in the docstrings."""

_OPTIONS: dict[str, Any] = {
    "cache": True,
    "nogil": True,
    "error_model": "numpy",
    "fastmath": {"reassoc", "contract", "nsz", "arcp"},
}
_EXACT: dict[str, Any] = _OPTIONS | {"fastmath": False}


def serial(function: Callable[..., Any]) -> Any:
    """A helper that other loops call. Takes no annotations: Numba infers the types."""
    prepare()
    return njit(**_OPTIONS)(_bare(function))


def exact(function: Callable[..., Any]) -> Any:
    """As `serial`, but each operation is rounded as it is written, so that torch gives the same bits."""
    prepare()
    return njit(**_EXACT)(_bare(function))


def parallel(function: Callable[..., Any]) -> Any:
    """A loop whose outermost `prange` is shared out over threads."""
    prepare()
    return njit(parallel=True, **_OPTIONS)(_bare(function))


def _bare(function: Callable[..., Any]) -> Callable[..., Any]:
    """Without the checks that tests wrap around every function: Numba compiles no `**kwargs`."""
    return inspect.unwrap(function)
