"""Prompts in pieces that fit into memory, what lies before the first position of interest read once and not again.

Rows are moved so that the position at which logits are read is the last column; what lies behind it cannot matter. Everything
before the first position of interest is then a prefix (`LanguageModel.prefix`), and a piece of rows of about the same lengths is
run many times over the few columns that follow, the suffix.

Letters: n prompts, S positions, r rows of a piece, P columns of its prefix, s of its suffix, m runs, D model width.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch

from monoseme.attribution.metrics import Readout
from monoseme.core.errors import ConfigError
from monoseme.models import Edit, LanguageModel, Site
from monoseme.models._prefix import Prefix
from monoseme.tensors.shapes import Bool, Float, Int, Tensor

_KEPT_PER_BLOCK = 24
"""Numbers of width D that a block keeps for its backward, for each position: an estimate from above for the families we know."""


@dataclass(frozen=True, kw_only=True)
class Batching:
    """How much is done at once. No result hangs on it but by rounding."""

    memory_bytes: int = 1 << 28
    """About what one piece of work may take beyond model, SAEs and results (bytes)."""
    share_prefix: bool = True
    """Read what lies before the first position of interest once, not in every run; off for models without keys and values."""

    def __post_init__(self) -> None:
        if self.memory_bytes < 1:
            raise ConfigError(f"memory_bytes is {self.memory_bytes}; it must be at least 1")


DEFAULT_BATCHING = Batching()


@dataclass(frozen=True, eq=False, kw_only=True)
class Suffix:
    """One piece: some rows behind their prefix."""

    model: LanguageModel
    readout: Readout
    """Of these rows."""
    rows: Int[Tensor, " r"]
    """Which of the prompts they are."""
    tokens: Int[Tensor, "r s"]
    real: Bool[Tensor, "r s"]
    position: Int[Tensor, "r s"]
    """Where each column is in the prompt as it was given; below 0 where a row has not begun yet."""
    prefix: Prefix
    before: "Columns"
    x: dict[Site, Tensor]
    """[r, s, D] as the model has it, under `edits`."""
    edits: tuple[Edit, ...]
    runs_at_once: int

    def marked(self, mask: Bool[Tensor, "n S"]) -> Bool[Tensor, "r s"]:
        """A mask of all prompts, at these columns."""
        there = mask.to(self.rows.device)[self.rows].gather(1, self.position.clamp_min(0))
        return there & (self.position >= 0) & self.real

    def metric(self, rows: Int[Tensor, " m"], edits: Sequence[Edit], *, skip_blocks: int = 0) -> Float[Tensor, " m"]:
        """The metric of these rows of the piece under `edits` alone, with gradients where they are enabled."""
        logits = self.prefix.run(
            self.tokens[rows],
            rows=rows,
            real=self.real[rows],
            edits=edits,
            skip_blocks=skip_blocks,
        ).logits
        return self.readout.metric.rows(rows)(logits)


class Columns(NamedTuple):
    """Tokens of some rows, and which of them there are."""

    tokens: Int[Tensor, "r P"]
    real: Bool[Tensor, "r P"]


@torch.no_grad()
def suffixes(
    model: LanguageModel,
    readout: Readout,
    sites: Sequence[Site],
    *,
    at: Bool[Tensor, "n S"],
    batching: Batching,
    n_latents: int,
    edits: Sequence[Edit] = (),
) -> Iterator[Suffix]:
    """The prompts with a position in `at`, in pieces; `n_latents` is that of the largest SAE. With the activations at `sites`."""
    device = model.device
    last = readout.answer_from.to(device)
    real = torch.ones_like(readout.tokens, dtype=torch.bool) if readout.real is None else readout.real
    begin, first = real.to(device).int().argmax(1), at.to(device).int().argmax(1)
    whole, behind = last - begin + 1, last - (first if batching.share_prefix else begin) + 1
    plan = _Plan(model, batching, n_sites=len(sites), n_latents=n_latents)
    chosen = at.to(device).any(1).nonzero().squeeze(1)
    order = chosen[(behind * (readout.tokens.shape[1] + 1) + whole)[chosen].argsort(stable=True)]
    for rows in plan.pieces(order, whole.tolist(), at.to(device).sum(1).tolist()):
        width, n_suffix = int(whole[rows].max()), int(behind[rows].max())
        position = torch.arange(width, device=device) - (width - 1) + last[rows, None]
        inside = position.clamp_min(0)
        tokens = readout.tokens.to(device)[rows].gather(1, inside)
        there = (position >= 0) & real.to(device)[rows].gather(1, inside)
        n_prefix = width - n_suffix
        prefix = model.prefix(tokens[:, :n_prefix], real=there[:, :n_prefix], edits=edits, capture=sites)
        behind_it = Columns(tokens[:, n_prefix:], there[:, n_prefix:])
        every = torch.arange(len(rows))
        captured = prefix.run(behind_it.tokens, real=behind_it.real, rows=every, edits=edits, capture=sites).captured
        yield Suffix(
            model=model,
            readout=readout.rows(rows.to(readout.tokens.device)),
            rows=rows,
            tokens=behind_it.tokens,
            real=behind_it.real,
            position=position[:, n_prefix:],
            prefix=prefix,
            before=Columns(tokens[:, :n_prefix], there[:, :n_prefix]),
            x=captured,
            edits=tuple(edits),
            runs_at_once=plan.runs_at_once(n_prefix, n_suffix),
        )


class _Plan:
    """How many rows and runs fit into the memory allowed, by estimates that err on the large side."""

    def __init__(self, model: LanguageModel, batching: Batching, *, n_sites: int, n_latents: int) -> None:
        spec = model.spec
        self._most = batching.memory_bytes // model.dtype.itemsize
        self._d, self._n_layers, self._vocabulary = spec.d_model, spec.n_layers, spec.vocab_size
        self._n_heads = spec.n_heads
        self._n_sites, self._n_latents = n_sites, n_latents

    def pieces(self, order: Int[Tensor, " n"], whole: list[int], asked: list[int]) -> Iterator[Int[Tensor, " r"]]:
        """Rows in order, as many together as fit."""
        kept: list[int] = []
        longest = n_asked = 0
        for row in order.tolist():
            longest, n_asked = max(longest, whole[row]), n_asked + asked[row]
            if kept and self._reading(len(kept) + 1, longest) + 4 * n_asked * self._n_latents > self._most:
                yield order.new_tensor(kept)
                kept, longest, n_asked = [], whole[row], asked[row]
            kept.append(row)
        if kept:
            yield order.new_tensor(kept)

    def runs_at_once(self, n_prefix: int, n_suffix: int) -> int:
        """Rows of one forward and backward over the suffix."""
        of_blocks = n_suffix * self._d * _KEPT_PER_BLOCK + 4 * (n_prefix + n_suffix) * self._d
        attention = 3 * self._n_heads * n_suffix * (n_prefix + n_suffix)
        return max(1, self._most // (self._n_layers * (of_blocks + attention) + 4 * self._vocabulary))

    def _reading(self, n_rows: int, n_columns: int) -> int:
        """Numbers that reading whole rows takes: keys and values of all blocks, activations at the sites, one block at work."""
        return n_rows * n_columns * self._d * (2 * self._n_layers + self._n_sites + _KEPT_PER_BLOCK)
