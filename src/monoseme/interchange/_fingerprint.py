"""Fingerprints: a few activations with their codes and reconstructions, by which an SAE that was carried over is verified.

`fingerprint.safetensors` lies beside the weights of an export (other tools ignore it), or is given to an import:

    x        [B, D]    activations ([B, L, D] for an SAE of several sites, [n, S, D] for one that reads contexts)
    codes    [B, F]    dense codes as the tool gives them ([B, L, F], [n, S, F])
    x_hat    [B, D]    reconstructions

Letters: B rows, D model width, F latents.
"""

from pathlib import Path
from typing import NamedTuple

import torch

from monoseme.core.errors import ForeignError, MonosemeError
from monoseme.core.seeds import generator
from monoseme.saes import SAE
from monoseme.tensors.foreign_file import load_table
from monoseme.tensors.saving import save_tensors
from monoseme.tensors.shapes import Tensor

FINGERPRINT = "fingerprint.safetensors"
TOLERANCE = 1e-5
"""Largest difference that counts as equal, relative to the largest number of what is compared: float32 products of a few
thousand terms in two orders differ by about 1e-6 of it."""
_N_ROWS = 8
_MOST_CODES = 1 << 22
"""Numbers of dense codes that a fingerprint may hold (16 MB)."""


class Fingerprint(NamedTuple):
    """What an SAE makes of some activations."""

    x: Tensor
    codes: Tensor
    x_hat: Tensor


class Agreement(NamedTuple):
    """How far an SAE is from a fingerprint; differences relative to the largest number of what is compared."""

    codes: float
    x_hat: float
    n_rows: int

    @property
    def holds(self) -> bool:
        """Whether both are within `TOLERANCE`."""
        return self.codes <= TOLERANCE and self.x_hat <= TOLERANCE


@torch.no_grad()
def fingerprint_of(sae: SAE, *, n_sites: int = 1, seed: int = 0) -> Fingerprint:
    """Of seeded random activations about b_dec, as many as fit."""
    n_rows = max(1, min(_N_ROWS, _MOST_CODES // max(1, sae.n_latents * n_sites)))
    lead = (n_rows, n_sites) if sae.reads == "layers" else (1, n_rows) if sae.reads == "contexts" else (n_rows,)
    x = torch.randn(*lead, sae.d_in, generator=generator(seed, "fingerprint")) * _scale(sae)
    codes = sae.encode(x)
    return Fingerprint(x, codes.dense(), sae.decode(codes))


def save_fingerprint(found: Fingerprint, folder: Path) -> None:
    """Writes it beside an SAE."""
    save_tensors(found._asdict(), folder / FINGERPRINT)


def load_fingerprint(path: Path) -> Fingerprint:
    """From a file. Raises ForeignError."""
    table = load_table(path)
    if lacking := [name for name in Fingerprint._fields if name not in table]:
        raise ForeignError(f"{path} is no fingerprint: it has no {', '.join(lacking)}")
    return Fingerprint(*(table[name].float() for name in Fingerprint._fields))


@torch.no_grad()
def agreement(sae: SAE, found: Fingerprint, *, code_factor: float = 1.0) -> Agreement:
    """How far the SAE is from it. Raises ForeignError where it cannot be asked: another width, another number of latents."""
    try:
        codes = sae.encode(found.x)
        dense, x_hat = codes.dense() * code_factor, sae.decode(codes)
    except (MonosemeError, RuntimeError) as error:
        raise ForeignError(f"the fingerprint is of another SAE: its x is {list(found.x.shape)} ({error})") from error
    if dense.shape != found.codes.shape or x_hat.shape != found.x_hat.shape:
        raise ForeignError(
            f"the fingerprint is of another SAE: it has codes {list(found.codes.shape)} where this SAE has {list(dense.shape)}"
        )
    return Agreement(_difference(dense, found.codes), _difference(x_hat, found.x_hat), found.x.shape[0])


def _difference(ours: Tensor, theirs: Tensor) -> float:
    largest = float(theirs.abs().max()) if theirs.numel() else 0.0
    found = float((ours - theirs).abs().max()) if theirs.numel() else 0.0
    return found / largest if largest > 0 else found


def _scale(sae: SAE) -> float:
    """About the size of the activations that it was trained on: that of b_dec, or 1."""
    bias = dict(sae.named_parameters()).get("b_dec")
    size = 0.0 if bias is None else float(bias.square().mean().sqrt() / sae.input_factor.mean())
    return max(size, 1.0)
