"""What latents read: the direction of each in the activations, where the encoder is linear.

Letters: N words, D width, F latents.
"""

from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from monoseme.saes import SAE

_N_CHECKED = 32
"""Latents that are looked at, those that fire most."""
_LEAST_FIRINGS = 4
_TOLERANCE = 1e-3
"""Largest distance from a straight line, as a share of the spread; float32 leaves less, another encoder far more."""


class Reads(NamedTuple):
    """Directions of the encoder."""

    directions: NDArray[np.float64] | None
    """[F, D]; None where codes are no linear reading of the activations."""
    why_not: str = ""


def linear_reads(sae: SAE, x: NDArray[np.float32], codes: sp.csr_array) -> Reads:
    """The columns of W_enc, if codes are a straight line of x . w wherever a latent fires, as seen on the words themselves.

    So for all encoders of the form select(a (x . w) + b); a lens, attention or pursuit in the encoder breaks it.
    """
    weight = dict(sae.named_parameters()).get("W_enc")
    if sae.reads != "tokens" or weight is None or tuple(weight.shape) != (sae.d_in, sae.n_latents):
        return Reads(None, "its encoder is not one matrix of activations and latents")
    directions = weight.detach().cpu().double().numpy().T
    if not _is_straight(directions, x.astype(np.float64), sp.csc_array(codes)):
        return Reads(None, "its codes are no linear reading of single activations")
    return Reads(directions)


def _is_straight(directions: NDArray[np.float64], x: NDArray[np.float64], codes: sp.csc_array) -> bool:
    columns: Any = codes
    for latent in np.argsort(-np.diff(columns.indptr), kind="stable")[:_N_CHECKED]:
        held = slice(columns.indptr[latent], columns.indptr[latent + 1])
        rows, value = columns.indices[held], columns.data[held].astype(np.float64)
        read = x[rows] @ directions[latent]
        if len(rows) < _LEAST_FIRINGS or not value.std():
            continue
        line = np.polynomial.Polynomial.fit(read, value, 1)
        if np.abs(value - line(read)).max() > _TOLERANCE * np.abs(value).max():
            return False
    return True
