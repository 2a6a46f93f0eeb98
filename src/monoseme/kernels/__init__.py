"""The hot loops: selection, sparse encode and sparse decode with their gradients. One slow twin, fast sets, one switch."""

from monoseme.kernels._contract import Encoder, Kernels
from monoseme.kernels._measured import Fastest, fastest, taking
from monoseme.kernels.dispatch import choose_kernels, default_choice, kernels_named, resolve, why_not

__all__ = [
    "Encoder",
    "Fastest",
    "Kernels",
    "choose_kernels",
    "default_choice",
    "fastest",
    "kernels_named",
    "resolve",
    "taking",
    "why_not",
]
