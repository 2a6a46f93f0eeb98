"""Codes as signals over time: how each latent goes up and down along a stretch of text.

Letters: C contexts, S positions, T tokens of a stretch, A latents that fire in it, D width.
"""

from typing import NamedTuple

import torch

from monoseme.evaluation._chunks import TokenChunk
from monoseme.tensors.shapes import Float, Tensor
from monoseme.tensors.sparse import SparseCodes


class Stretch(NamedTuple):
    """Unmasked tokens that follow one another, as rows `start` to `stop` - 1 of a chunk's unmasked tokens."""

    start: int
    stop: int
    document: int
    """Of its first token."""


def stretches(text: TokenChunk) -> list[Stretch]:
    """Cut wherever the document or the context changes, and where a masked token lies between."""
    n_contexts, seq_len = text.tokens.shape
    place = torch.arange(n_contexts * seq_len).reshape(n_contexts, seq_len)
    # One unused place between contexts, so that the last of one and the first of the next are no neighbours.
    place = place + torch.arange(n_contexts).unsqueeze(1)
    mask = text.mask.cpu()
    place, documents = place[mask], text.documents.cpu()[mask]
    return _cut((place.diff() != 1) | (documents.diff() != 0), documents)


def whole_contexts(text: TokenChunk) -> list[Stretch]:
    """The unmasked tokens of each context in a row, whatever lies between them: across documents."""
    mask = text.mask.cpu()
    context = torch.arange(len(mask)).unsqueeze(1).expand(mask.shape)[mask]
    return _cut(context.diff() != 0, text.documents.cpu()[mask])


def _cut(is_cut: Tensor, documents: Tensor) -> list[Stretch]:
    """Stretches of T rows, cut behind each row that `is_cut` [T - 1] marks."""
    if not len(documents):
        return []
    inner = (is_cut.nonzero().squeeze(1) + 1).tolist()
    ends = [*inner, len(documents)]
    return [Stretch(start, stop, int(documents[start])) for start, stop in zip([0, *inner], ends, strict=True)]


def signals(codes: SparseCodes, stretch: Stretch) -> Float[Tensor, "A T"]:
    """The latents that fire in the stretch over its tokens, float64, on the CPU."""
    offsets = codes.offsets[stretch.start : stretch.stop + 1]
    entries = slice(int(offsets[0]), int(offsets[-1]))
    latents, which = codes.indices[entries].unique(return_inverse=True)
    token = torch.repeat_interleave(offsets.diff(), output_size=entries.stop - entries.start)
    made = torch.zeros(len(latents), stretch.stop - stretch.start, dtype=torch.float64)
    made[which.cpu(), token.cpu()] = codes.values[entries].detach().cpu().double()
    return made


def moves(x: Float[Tensor, "N D"], stretch: Stretch) -> Float[Tensor, " T_less_1"]:
    """Distance between the activations of neighbouring tokens, float64, on the CPU."""
    return x[stretch.start : stretch.stop].detach().cpu().double().diff(dim=0).norm(dim=1)
