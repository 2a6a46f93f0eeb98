"""The scores of latents at positions of prompts, put together from pieces.

Letters: n prompts, S positions, T positions asked about (row by row), D model width, F latents.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch

from monoseme.attribution._suffixes import Suffix
from monoseme.attribution.metrics import Readout
from monoseme.core.errors import ConfigError
from monoseme.models import LanguageModel
from monoseme.tensors.shapes import Bool, Float, Int, Tensor
from monoseme.tensors.sparse import SparseCodes


class Attribution(NamedTuple):
    """What the latents at one site do to the metric, at each position asked about."""

    prompt: Int[Tensor, " T"]
    position: Int[Tensor, " T"]
    """Ordered by prompt, then position; those behind the answer are left out, as nothing there can matter."""
    scores: SparseCodes
    """[T, F]: of each latent that fires (or fires in what takes its place); the score of all others is 0."""
    error: Float[Tensor, " T"]
    """The score of what the latents leave out: the SAE's error, and the vector's mean where codes are in its deviations."""
    codes: SparseCodes
    """[T, F]: as they are in the prompts."""
    gradient: Float[Tensor, "T D"]
    """At the reconstruction, averaged over the path: times W_dec^T it is the gradient at every latent."""


def at_positions(readout: Readout, position: Int[Tensor, " n"]) -> Bool[Tensor, "n S"]:
    """A mask of one position in each prompt. Raises ConfigError where that is padding or outside."""
    n, length = readout.tokens.shape
    if position.shape != (n,) or (n and not 0 <= int(position.min()) <= int(position.max()) < length):
        raise ConfigError(f"give a position from 0 to {length - 1} for each of {n} prompts, not {position.tolist()}")
    mask = torch.zeros(n, length, dtype=torch.bool)
    mask[torch.arange(n), position.cpu()] = True
    if readout.real is not None and bool((mask & ~readout.real.cpu()).any()):
        raise ConfigError("some of these positions are padding: they count from the start of the row")
    return mask


def before_answers(model: LanguageModel, readout: Readout, mask: Bool[Tensor, "n S"] | None) -> Bool[Tensor, "n S"]:
    """The mask without what lies behind the answers; None for tokens that are not special. On the model's device.

    Raises ConfigError for a mask that does not fit the prompts or leaves nothing.
    """
    tokens, last = readout.tokens.to(model.device), readout.answer_from.to(model.device)
    real = torch.ones_like(tokens, dtype=torch.bool) if readout.real is None else readout.real.to(model.device)
    if mask is not None and mask.shape != tokens.shape:
        raise ConfigError(f"a mask of {tuple(mask.shape)} does not fit prompts of {tuple(tokens.shape)}")
    mask = model.editable(tokens, real) if mask is None else mask.to(model.device) & real
    mask = mask & (torch.arange(tokens.shape[1], device=model.device) <= last[:, None])
    if not bool(mask.any()):
        raise ConfigError("no position is asked about: the mask is False wherever there is a token before an answer")
    return mask


class Part(NamedTuple):
    """An `Attribution` of one piece, rows in the piece's order."""

    scores: SparseCodes
    error: Float[Tensor, " T"]
    codes: SparseCodes
    gradient: Float[Tensor, "T D"]


def together(parts: Sequence[Part], places: Int[Tensor, "T 2"]) -> Attribution:
    """All pieces in the order of the prompts; `places` are (prompt, position) of their rows, one piece after the other."""
    order = (places[:, 0] * (int(places[:, 1].max()) + 1) + places[:, 1]).argsort()
    scores, codes = (SparseCodes.cat(each) for each in ([p.scores for p in parts], [p.codes for p in parts]))
    error, gradient = (torch.cat(each) for each in ([p.error for p in parts], [p.gradient for p in parts]))
    at = order.to(codes.device)
    prompt, position = places[order].unbind(1)
    return Attribution(prompt, position, scores.select_rows(at), error[at], codes.select_rows(at), gradient[order])


def places_of(piece: Suffix, asked: Bool[Tensor, "r s"]) -> Int[Tensor, "T 2"]:
    """(prompt, position) of each position asked about, row by row."""
    row, column = asked.nonzero(as_tuple=True)
    return torch.stack([piece.rows[row], piece.position[row, column]], dim=1)
