"""The hot loops: selection, sparse encode and sparse decode with their gradients. One slow twin, fast sets, one switch."""

from monoseme.kernels._contract import Encoder, Kernels
from monoseme.kernels._measured import Fastest, fastest, taking
from monoseme.kernels._rows import AdamRule, RowMatrix, RowUpdates, has_unit_rows, note_step, row_matrix
from monoseme.kernels._screening import Screened, counted
from monoseme.kernels._sharded import MeshKernels
from monoseme.kernels.dispatch import choose_kernels, compiled_so_far, default_choice, kernels_named, resolve, why_not

__all__ = [
    "AdamRule",
    "Encoder",
    "Fastest",
    "Kernels",
    "MeshKernels",
    "RowMatrix",
    "RowUpdates",
    "Screened",
    "choose_kernels",
    "compiled_so_far",
    "counted",
    "default_choice",
    "fastest",
    "has_unit_rows",
    "kernels_named",
    "note_step",
    "resolve",
    "row_matrix",
    "taking",
    "why_not",
]
