"""What attribution explains: one number of each row's logits, at the position where the answer begins.

Sums and means are in the logits' dtype, in float32 at least.

Letters: n prompts, S positions, V vocabulary, C letters.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from monoseme.core.errors import ConfigError
from monoseme.tensors.shapes import Bool, Float, Int, Tensor


@dataclass(frozen=True, eq=False)
class LogitMetric:
    """A differentiable function of logits [n, V] that gives one number for each row, [n].

    `LogitMetric(lambda logits: logits[:, 5])` asks the same of every row. What differs from row to row lies in `of_rows`, so that
    rows can be taken out and repeated: attribution works on pieces of a batch.
    """

    function: Callable[..., Any]
    """Called with logits [n, V] and each of `of_rows`, gives [n]; a row of it must hang on that row of the logits alone."""
    of_rows: tuple[Tensor, ...] = ()
    """Tensors [n, ...] with one entry for each row."""

    def __call__(self, logits: Float[Tensor, "n V"]) -> Float[Tensor, " n"]:
        """[n]. Raises ConfigError where the function gives another shape, or the rows are not those of the metric."""
        if any(len(each) != len(logits) for each in self.of_rows):
            raise ConfigError(f"a metric of {len(self.of_rows[0])} rows was given the logits of {len(logits)}")
        least = torch.promote_types(logits.dtype, torch.float32)
        value = self.function(logits.to(least), *(each.to(logits.device) for each in self.of_rows))
        if value.shape != logits.shape[:1]:
            raise ConfigError(f"a metric gives one number for each of {len(logits)} rows, not the shape {tuple(value.shape)}")
        return value

    def rows(self, index: Int[Tensor, " m"]) -> "LogitMetric":
        """The metric of these rows, in this order."""
        return LogitMetric(self.function, tuple(each[index.to(each.device)] for each in self.of_rows))


def logit_difference(positive: Int[Tensor, " n"], negative: Int[Tensor, " n"]) -> LogitMetric:
    """Logit of one token minus the logit of another, token ids given for each row."""
    return LogitMetric(lambda logits, plus, minus: _at(logits, plus) - _at(logits, minus), (positive, negative))


def log_probability(target: Int[Tensor, " n"]) -> LogitMetric:
    """log p(target) in nats, token ids given for each row."""
    return LogitMetric(lambda logits, token: _at(logits.log_softmax(-1), token), (target,))


def letter_metric(letters: Int[Tensor, " C"], correct: Int[Tensor, " n"]) -> LogitMetric:
    """Logit of the correct letter minus the mean logit of the others: m = l_c - sum_{k != c} l_k / (C - 1).

    `letters` are the token ids of the alphabet (" A", " B", ...), `correct` says which of them is right in each row, counted
    from 0. Raises ConfigError for fewer than two letters and for a number that is none of theirs.
    Source: Chanin et al. 2024, arXiv:2409.14507, section 4.2 (there C = 26).
    """
    if len(letters) < 2:
        raise ConfigError(f"the letter metric compares a letter with the others: give two letters or more, not {len(letters)}")
    if len(correct) and not 0 <= int(correct.min()) <= int(correct.max()) < len(letters):
        raise ConfigError(f"correct letters are counted from 0 to {len(letters) - 1}, not {correct.tolist()}")

    def value(logits: Tensor, of_letters: Tensor) -> Tensor:
        every = logits[:, letters.to(logits.device)]
        right = _at(every, of_letters)
        return right - (every.sum(-1) - right) / (every.shape[-1] - 1)

    return LogitMetric(value, (correct,))


@dataclass(frozen=True, eq=False)
class Readout:
    """Prompts, and what is read off their logits. Raises ConfigError where rows do not fit or nothing can be read."""

    tokens: Int[Tensor, "n S"]
    answer_from: Int[Tensor, " n"]
    """Position of each row whose logits the metric sees."""
    metric: LogitMetric
    real: Bool[Tensor, "n S"] | None = None
    """False on padding, at either side; None for no padding."""

    def __post_init__(self) -> None:
        n, length = self.tokens.shape
        if self.answer_from.shape != (n,) or any(len(each) != n for each in self.metric.of_rows):
            raise ConfigError(f"{n} prompts need {n} positions to read at and a metric of {n} rows")
        if n and not 0 <= int(self.answer_from.min()) <= int(self.answer_from.max()) < length:
            raise ConfigError(f"logits are read at positions 0 to {length - 1}, not at {self.answer_from.tolist()}")
        if self.real is not None and not bool(self.real.gather(1, self.answer_from[:, None]).all()):
            raise ConfigError("logits are to be read at padding in some rows: answer_from counts from the start of the row")

    def __len__(self) -> int:
        return len(self.tokens)

    def rows(self, index: Int[Tensor, " m"]) -> "Readout":
        """These rows, in this order."""
        real = None if self.real is None else self.real[index]
        return Readout(self.tokens[index], self.answer_from[index], self.metric.rows(index), real)


def _at(values: Float[Tensor, "n V"], token: Int[Tensor, " n"]) -> Float[Tensor, " n"]:
    return values.gather(1, token[:, None].long()).squeeze(1)
