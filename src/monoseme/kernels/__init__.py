"""The hot loops: selection, sparse encode and sparse decode with their gradients. One slow twin, one fast set, one switch."""

from monoseme.kernels._contract import Encoder, Kernels
from monoseme.kernels.dispatch import kernels_named, resolve

__all__ = ["Encoder", "Kernels", "kernels_named", "resolve"]
