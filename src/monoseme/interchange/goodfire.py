"""Goodfire's SAEs of Llama: one `.pt` or `.pth` with two linear layers; ReLU.

    encoder_linear.weight [F, D]    encoder_linear.bias [F]    decoder_linear.weight [D, F]    decoder_linear.bias [D]

    f = relu(x encoder_linear.weight^T + encoder_linear.bias),   x_hat = f decoder_linear.weight^T + decoder_linear.bias

The file's name says the model and the block: `Llama-3.1-8B-Instruct-SAE-l19.pth` is resid_post.19.
Source: the model cards of `Goodfire/Llama-3.3-70B-Instruct-SAE-l50` and `Goodfire/Llama-3.1-8B-Instruct-SAE-l19`.
Letters: D model width, F latents.
"""

import re
from collections.abc import Sequence
from pathlib import Path

from monoseme.interchange._assembled import matrix, taken
from monoseme.interchange._base import ForeignSae, SaeFormat
from monoseme.interchange._places import only_file, require_file
from monoseme.interchange._plain_encoders import Place, PlainEncoder, sae_of
from monoseme.interchange._table_keys import keys_of
from monoseme.tensors.foreign_file import load_plain

_SUFFIXES = (".pt", ".pth")
_NAMES = frozenset({"encoder_linear.weight", "encoder_linear.bias", "decoder_linear.weight", "decoder_linear.bias"})
_FILE = re.compile(r"(Llama-[\w.-]{1,60})-SAE-l(\d{1,4})", re.ASCII)


class Goodfire(SaeFormat):
    """See the module's docstring."""

    looks_for = "a .pt or .pth with encoder_linear.* and decoder_linear.*"
    writes = False

    def recognises(self, path: Path) -> bool:
        """By the names in the file."""
        return keys_of(only_file(path, _SUFFIXES)) >= _NAMES

    def read(self, path: Path) -> Sequence[ForeignSae]:
        """One SAE."""
        path = require_file(path, _SUFFIXES)
        table, where = load_plain(path), str(path)
        n_latents, d_in = matrix(table, "encoder_linear.weight", n_axes=2, where=where).shape
        shapes: dict[str, tuple[int, ...]] = {
            "encoder_linear.weight": (n_latents, d_in),
            "encoder_linear.bias": (n_latents,),
            "decoder_linear.weight": (d_in, n_latents),
            "decoder_linear.bias": (d_in,),
        }
        found = taken(table, shapes, where=where)
        plain = PlainEncoder(
            found["encoder_linear.weight"].t(),
            found["encoder_linear.bias"],
            found["decoder_linear.weight"].t(),
            found["decoder_linear.bias"],
        )
        named = _FILE.fullmatch(path.stem)
        known = f"resid_post.{named[2]}" if named else None
        notes = (f"the file's name says {named[1]}, block {named[2]}: read as {known}",) if named else ()
        sae = sae_of(plain, "relu", place=Place(self.config.site, known), where=where)
        return [ForeignSae(name=path.stem, sae=sae, model=f"meta-llama/{named[1]}" if named else None, notes=notes)]
