"""Codes as signals over time: how each latent goes up and down along a stretch of text.

Letters: C contexts, S positions, T tokens of a stretch, A latents that fire in it, D width.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch

from monoseme.evaluation._chunks import TokenChunk
from monoseme.tensors.shapes import Float, Int, Tensor
from monoseme.tensors.sparse import SparseCodes, offsets_of


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


def binned(place: Int[Tensor, " N"], values: Float[Tensor, " N"], n: int) -> Float[Tensor, " n"]:
    """Sums of the values at each of n places, float64."""
    return torch.bincount(place, weights=values, minlength=n).double()  # of nothing, torch gives integers


class Series(NamedTuple):
    """The signals of many stretches at once, as what the latents do where they fire; elsewhere they are 0.

    A series is one latent in one stretch in which it fires. Letters: N entries, by series and then by time; A series, by stretch
    and then by latent; G stretches that follow one another.
    """

    series: Int[Tensor, " N"]
    time: Int[Tensor, " N"]
    """Token of the stretch, from 0."""
    value: Float[Tensor, " N"]
    """float64."""
    latent: Int[Tensor, " A"]
    stretch: Int[Tensor, " A"]
    first: Int[Tensor, " A_and_one"]
    """First entry of each series, and the end of the last one."""
    lengths: Int[Tensor, " G"]
    """Tokens of each stretch."""

    @property
    def n_series(self) -> int:
        """A."""
        return len(self.latent)

    @property
    def length(self) -> Int[Tensor, " A"]:
        """Tokens of each series' stretch."""
        return self.lengths[self.stretch]

    @property
    def starts(self) -> Int[Tensor, " G"]:
        """First row of each stretch."""
        return offsets_of(self.lengths)[:-1]

    @property
    def longest(self) -> int:
        """Tokens of the longest stretch; 0 without one."""
        return int(self.lengths.max()) if len(self.lengths) else 0

    def per_series(self, values: Float[Tensor, " N"]) -> Float[Tensor, " A"]:
        """Sums over the entries of each series."""
        return binned(self.series, values, self.n_series)

    def largest(self, values: Float[Tensor, " N"]) -> Float[Tensor, " A"]:
        """The largest of the entries of each series."""
        return torch.from_numpy(np.maximum.reduceat(values.numpy(), self.first[:-1].numpy())) if self.n_series else values

    def per_stretch(self, values: Float[Tensor, " A"]) -> Float[Tensor, " G"]:
        """Sums over the series of each stretch."""
        return binned(self.stretch, values, len(self.lengths))


def series_of(codes: SparseCodes, cut: Sequence[Stretch]) -> Series:
    """Codes [T, F] without explicit zeros, cut into stretches that hold every row; on the CPU."""
    lengths = torch.tensor([stretch.stop - stretch.start for stretch in cut], dtype=torch.int64)
    of_row = torch.repeat_interleave(lengths)
    rows = codes.rows().cpu()
    keys, order = (of_row[rows] * codes.n_latents + codes.indices.cpu()).sort(stable=True)
    kinds, series, counts = keys.unique_consecutive(return_inverse=True, return_counts=True)
    stretch = kinds // codes.n_latents
    return Series(
        series=series,
        time=rows[order] - offsets_of(lengths)[stretch[series]],
        value=codes.values.detach().cpu().double()[order],
        latent=kinds % codes.n_latents,
        stretch=stretch,
        first=offsets_of(counts),
        lengths=lengths,
    )


class Changes(NamedTuple):
    """How far signals change over `lag` tokens: to what each entry is, and from each entry to silence.

    A change that does not take place, or that another entry tells, is 0; so each of a signal's changes other than 0 is told once.
    """

    lag: int
    to: Float[Tensor, " N"]
    """f_t - f_(t-lag) with t the entry's token."""
    away: Float[Tensor, " N"]
    """f_(t+lag) - f_t where f_(t+lag) is 0."""

    def sums(self, of: Series, function: Callable[[Tensor], Tensor]) -> Float[Tensor, " A"]:
        """Sums over the changes of each series of a function that is 0 at 0."""
        return of.per_series(function(self.to) + function(self.away))


def changes(of: Series, lag: int) -> Changes:
    """The changes over `lag` tokens of a stretch."""
    length = of.length[of.series]
    key = of.series * (of.longest + lag) + of.time
    # numpy's search is several times faster than torch's where what is looked for comes in order.
    later = torch.from_numpy(np.searchsorted(key.numpy(), (key + lag).numpy())).clamp(max=max(0, len(key) - 1))
    meets = key[later] == key + lag
    earlier = torch.zeros(len(key) + 1, dtype=torch.float64)  # the last one is where those that meet none are put
    earlier[later.where(meets, len(key))] = of.value
    to = torch.where(of.time >= lag, of.value - earlier[:-1], 0.0)
    away = torch.where((of.time + lag < length) & ~meets, -of.value, 0.0)
    return Changes(lag, to, away)


def moves(x: Float[Tensor, "N D"]) -> Float[Tensor, " N_less_1"]:
    """Distance between the activations of neighbouring rows, float64, on the CPU."""
    return x.detach().cpu().double().diff(dim=0).norm(dim=1)
