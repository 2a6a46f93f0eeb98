"""SAEBench's autointerp on given arrays: which windows it shows, how it labels them, how it reads an answer.

Source: SAEBench 0.6.0, evals/autointerp/main.py and sae_bench_utils/indexing_utils.py. Defaults as there. Each step draws what it
draws, in its order, from a generator that is given. Its mistakes are kept, and named where they are.

Letters: N rows of S tokens, W = 2 buffer + 1 tokens of a window.
"""

import random
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Counts:
    """How many windows of each kind, and which tokens are marked."""

    n_top: int = 12
    n_weighted: int = 7
    """Drawn with probability proportional to the squared activation, below the smallest of the top ones."""
    n_random: int = 10
    n_top_to_explain: int = 10
    n_weighted_to_explain: int = 5
    buffer: int = 10
    marked_above: float = 0.01
    """Share of the largest activation of the top windows above which a token is marked and a window counts as active."""

    @property
    def n_to_score(self) -> int:
        """Windows that are judged: 14."""
        return self.n_top + self.n_weighted - self.n_top_to_explain - self.n_weighted_to_explain + self.n_random

    @property
    def floor(self) -> float:
        """What "None" scores: the share of random windows, 10/14 = 0.714. A mistake of the score: chance is not 0.5."""
        return self.n_random / self.n_to_score


class Place(NamedTuple):
    """A window by its middle, and what is thought of it."""

    row: int
    middle: int
    kind: str
    """`top`, `weighted` or `random`."""
    counts_as_active: bool
    """Its label. Of random windows always False, without a look (SAEBench fills their activations with zeros), so that a dense
    latent is labelled wrongly."""


class Sampled(NamedTuple):
    """The windows of one latent."""

    to_explain: list[Place]
    """The strongest first."""
    to_score: list[Place]
    """In the order in which they are shown."""
    threshold: float
    """Activation above which a token is marked."""


def sample(acts: Tensor, counts: Counts, *, draw: torch.Generator, shuffle: random.Random) -> Sampled | None:
    """The windows of a latent with activations `acts` [N, S]; None for one that SAEBench would not score.

    None where it has too few firings to draw from: SAEBench passes over a latent without any below its top ones, and fails on one
    with fewer than it wants.
    """
    n_rows, seq_len = acts.shape
    rows = torch.randint(0, n_rows, (counts.n_random,), generator=draw)
    columns = torch.randint(counts.buffer, seq_len - counts.buffer, (counts.n_random,), generator=draw)
    top = largest(acts, counts.n_top, buffer=counts.buffer)
    if len(top) < counts.n_top or acts[top[-1, 0], top[-1, 1]] <= 0:
        return None
    middles = acts[top[:, 0], top[:, 1]]
    threshold = counts.marked_above * float(_windows(acts, top, counts.buffer).max())
    below = torch.where(acts >= middles.min(), 0.0, acts)
    weights = below[:, counts.buffer : seq_len - counts.buffer].pow(2)
    if int((weights > 0).sum()) < counts.n_weighted:
        return None
    drawn = torch.multinomial(weights.flatten() / weights.sum(), counts.n_weighted, replacement=False, generator=draw)
    weighted = torch.stack([drawn // weights.shape[1], drawn % weights.shape[1] + counts.buffer], dim=1)
    top_order = torch.randperm(counts.n_top, generator=draw)
    weighted_order = torch.randperm(counts.n_weighted, generator=draw)
    n_top, n_weighted = counts.n_top_to_explain, counts.n_weighted_to_explain
    explain = _places(acts, top[top_order[:n_top]], "top", threshold, counts.buffer)
    explain += _places(acts, weighted[weighted_order[:n_weighted]], "weighted", threshold, counts.buffer)
    score = _places(acts, top[top_order[n_top:]], "top", threshold, counts.buffer)
    score += _places(acts, weighted[weighted_order[n_weighted:]], "weighted", threshold, counts.buffer)
    score += [Place(int(row), int(column), "random", False) for row, column in zip(rows, columns, strict=True)]
    shuffle.shuffle(score)
    explain.sort(key=lambda place: -float(_windows(acts, torch.tensor([place[:2]]), counts.buffer).max()))
    return Sampled(explain, score, threshold)


def largest(acts: Tensor, k: int, *, buffer: int) -> Tensor:
    """Row and column of the k largest activations, [k, 2], none within `buffer` of the ends of a row or of a larger one.

    Windows of two may still share tokens: their middles are `buffer` + 1 apart at least, their ends up to `buffer` on each side.
    """
    inner = acts[:, buffer : acts.shape[1] - buffer]
    found: list[tuple[int, int]] = []
    taken: set[tuple[int, int]] = set()
    for flat in inner.flatten().argsort(descending=True).tolist():
        if len(found) == k:
            break
        row, column = flat // inner.shape[1], flat % inner.shape[1] + buffer
        if (row, column) not in taken:
            found.append((row, column))
            taken |= {(row, column + offset) for offset in range(-buffer, buffer + 1)}
    return torch.tensor(found, dtype=torch.int64).reshape(-1, 2)


def numbers_in(answer: str) -> list[int] | None:
    """The windows that an answer names, from 1; None for one that SAEBench cannot read and leaves out of its mean."""
    parts = answer.strip().rstrip(".").replace("and", ",").replace("None", "").split(",")
    said = [part.strip() for part in parts if part.strip()]
    return [int(part) for part in said] if all(part.isdigit() and len(part) < 10 for part in said) else None


def accuracy(named: list[int], labels: list[bool]) -> float:
    """Share of the windows that are rightly named or rightly not named."""
    return sum((i + 1 in named) == label for i, label in enumerate(labels)) / len(labels)


def explanation_in(answer: str) -> str:
    """The explanation in an answer: what follows the last "activates on", without a full stop."""
    return answer.split("activates on")[-1].rstrip(".").strip()


def _windows(acts: Tensor, places: Tensor, buffer: int) -> Tensor:
    return acts[places[:, :1], places[:, 1:] + torch.arange(-buffer, buffer + 1)]


def _places(acts: Tensor, middles: Tensor, kind: str, threshold: float, buffer: int) -> list[Place]:
    active = (_windows(acts, middles, buffer) > threshold).any(dim=1).tolist()
    return [Place(row, column, kind, is_active) for (row, column), is_active in zip(middles.tolist(), active, strict=True)]
