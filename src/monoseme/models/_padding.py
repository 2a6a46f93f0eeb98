"""Ragged prompts as one batch, and what attention must be told about padding.

Letters: n sequences, S positions.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor


class Padded(NamedTuple):
    """Sequences of several lengths, padded on the left so that all end in the last column."""

    tokens: Tensor
    """int64 [n, S]"""
    real: Tensor
    """bool [n, S]: False on padding."""


def pad_left(sequences: Sequence[Sequence[int]], *, pad_id: int, device: torch.device) -> Padded:
    """The sequences as one batch; none may be empty."""
    longest = max(len(ids) for ids in sequences)
    rows = [[pad_id] * (longest - len(ids)) + list(ids) for ids in sequences]
    real = [[False] * (longest - len(ids)) + [True] * len(ids) for ids in sequences]
    return Padded(torch.tensor(rows, device=device), torch.tensor(real, device=device))


def positions_of(real: Tensor) -> Tensor:
    """int64 [n, S]: 0-based positions that do not count padding; 0 on padding to the left."""
    return (real.long().cumsum(-1) - 1).clamp_min(0)


def hides_nothing(real: Tensor) -> bool:
    """Whether all padding is on the right, where causal attention of real tokens never looks."""
    return not bool((real[:, 1:] & ~real[:, :-1]).any())
