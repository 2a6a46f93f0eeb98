"""What crosscoder_learning's files say of which sites are read and which activations are kept.

Letters: L sites, D model width, F latents.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch

from monoseme.core.errors import ForeignError
from monoseme.core.foreign import as_latent, as_list, as_number, as_text
from monoseme.interchange._assembled import one_tensor
from monoseme.interchange._crosscoder_algebra import Selection, weighted_threshold
from monoseme.interchange._crosscoder_layouts import NORMALIZATIONS
from monoseme.tensors.shapes import Float, Tensor

_ALPHAS = {"sae": 1.0, "cc": 0.1}
"""Of MIXED, as the tool has them where config.json does not say."""


class Chosen(NamedTuple):
    """Which activations are kept."""

    selection: Selection
    notes: tuple[str, ...]
    """What is to be said of it."""


class _Normalization(NamedTuple):
    """By what activations are weighed before the threshold."""

    kind: str
    """One of NORMALIZATIONS."""
    notes: list[str]


def encoder_layers(config: Mapping[str, Any], n_sites: int, *, where: str) -> list[int]:
    """The sites that the encoder reads, all but for a crosscoder that was told otherwise. Raises ForeignError."""
    value = config.get("encoder_layers")
    read = [*range(n_sites)] if value is None else [as_latent(item, where=where) for item in as_list(value, where=where)]
    if not read or max(read) >= n_sites or len(set(read)) != len(read):
        raise ForeignError(
            f"{where}: encoder_layers are {read[:20]}; the decoder has {n_sites} sites, and those it reads are among them"
        )
    return read


def selection_of(config: Mapping[str, Any], tensors: Mapping[str, Any], W: Float[Tensor, "L F D"], *, where: str) -> Chosen:
    """Which activations are kept. Raises ForeignError."""
    if "threshold" not in tensors:
        return Chosen(Selection("relu"), ())
    normalization, notes = _normalization(config, tensors, where=where)
    if normalization == "DECOUPLED":
        raise ForeignError(f"{where} has codes for each site (code_normalization DECOUPLED), which no architecture here has")
    threshold = one_tensor(tensors, "threshold", (), where=where)
    k = tensors.get("k")
    k = as_latent(k.item() if isinstance(k, torch.Tensor) and k.numel() == 1 else config.get("k"), where=f"{where}: k")
    if not 1 <= k <= W.shape[1]:
        raise ForeignError(f"{where}: k is {k}, of {W.shape[1]:,} latents")
    alphas = [
        as_number(config.get(f"code_normalization_alpha_{name}", default), where=where) for name, default in _ALPHAS.items()
    ]
    if bool(threshold < 0):
        notes.append("its threshold was never set (-1): as in the tool, every positive activation is kept")
    if normalization != "CROSSCODER":
        notes.append(
            f"its threshold is on activations weighed by code_normalization {normalization}: it becomes one for each latent"
        )
    selection = weighted_threshold(threshold, W, normalization=normalization, alphas=(alphas[0], alphas[1]), k=k)
    return Chosen(selection, tuple(notes))


def _normalization(config: Mapping[str, Any], tensors: Mapping[str, Any], *, where: str) -> _Normalization:
    number = tensors.get("code_normalization_id")
    if isinstance(number, torch.Tensor):
        place = number.item() if number.numel() == 1 else 0
        if isinstance(place, int) and 1 <= place <= len(NORMALIZATIONS):
            return _Normalization(NORMALIZATIONS[place - 1], [])
        raise ForeignError(f"{where}: code_normalization_id is {place}; known are 1 to {len(NORMALIZATIONS)}")
    named = config.get("code_normalization")
    if named is None:
        return _Normalization("CROSSCODER", ["code_normalization is not in the files: CROSSCODER, as the tool then assumes"])
    found = as_text(named, where=f"{where}: code_normalization").upper()
    if found not in NORMALIZATIONS:
        raise ForeignError(f"{where}: code_normalization is {found[:40]!r}; known are {', '.join(NORMALIZATIONS)}")
    return _Normalization(found, [])
