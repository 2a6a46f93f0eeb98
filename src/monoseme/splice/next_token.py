"""What a change inside the model does to its predictions: cross-entropy and KL per next-token prediction.

A prediction counts when its source token is unmasked (the SAE could touch it) and its target is a real token of the same
document; across a boundary of packed documents there is nothing to predict. The target may be special (an end of text).

Letters: C contexts, S positions, V vocabulary, P predictions that count.
"""

from collections.abc import Iterator
from typing import NamedTuple

import torch

from monoseme.tensors.shapes import Bool, Float, Int, Tensor

_SLICE_ENTRIES = 1 << 24
"""Logits handled at once, P x V: bounds the float32 copies to 64 MB each."""


def predictions(mask: Bool[Tensor, "C S"], *, real: Bool[Tensor, "C S"], documents: Int[Tensor, "C S"]) -> Bool[Tensor, "C S"]:
    """True at source positions whose next-token prediction counts; the last position never does.

    `mask`: where an SAE touches the activations; `real`: where there is a token at all; `documents`: ids per token.
    """
    counts = torch.zeros_like(mask)
    counts[:, :-1] = mask[:, :-1] & real[:, 1:] & (documents[:, :-1] == documents[:, 1:])
    return counts


def targets(tokens: Int[Tensor, "C S"], counts: Bool[Tensor, "C S"]) -> Int[Tensor, " P"]:
    """The tokens that were to be predicted, where `predictions` says so."""
    return tokens[:, 1:][counts[:, :-1]]


def log_probabilities(logits: Float[Tensor, "P V"]) -> Float[Tensor, "P V"]:
    """Log-softmax in float32, or float64 for float64 logits."""
    return torch.cat([_log_p(logits[part]) for part in _slices(len(logits), logits.shape[-1])])


def losses(logits: Float[Tensor, "P V"], target: Int[Tensor, " P"]) -> Float[Tensor, " P"]:
    """−log p(target) in nats, in the dtype of `log_probabilities`."""
    target = target.to(logits.device)
    parts = _slices(len(target), logits.shape[-1])
    return torch.cat([_ce(_log_p(logits[part]), target[part]) for part in parts])


def divergence(log_p: Float[Tensor, "P V"], changed: Float[Tensor, "P V"]) -> Float[Tensor, " P"]:
    """KL(original ‖ changed) in nats, from the original's `log_probabilities` and the logits of a changed run."""
    return torch.cat([_kl(log_p[part], _log_p(changed[part])) for part in _slices(*changed.shape)])


def logit_error(
    log_p: Float[Tensor, "P V"], normaliser: Float[Tensor, " P"], changed: Float[Tensor, "P V"]
) -> Float[Tensor, " P"]:
    """Mean over the vocabulary of the squared change of the logits, which are log p + normaliser in the original run.

    Unlike a divergence it also sees a change that moves all logits of a prediction alike. Logits that are equal, also where both
    are minus infinity, did not change.
    """
    return torch.cat([_squares(log_p[part] + normaliser[part, None], changed[part]) for part in _slices(*changed.shape)])


def _squares(logits: Tensor, changed: Tensor) -> Tensor:
    return torch.where(logits == changed, 0.0, changed.to(logits.dtype) - logits).square().mean(-1)


class Comparison(NamedTuple):
    """What a changed run costs, per prediction, in nats."""

    ce: Float[Tensor, " P"]
    """−log q(target)."""
    kl: Float[Tensor, " P"]
    """KL(original ‖ changed)."""
    kl_reversed: Float[Tensor, " P"]
    """KL(changed ‖ original)."""


def compare(log_p: Float[Tensor, "P V"], changed: Float[Tensor, "P V"], target: Int[Tensor, " P"]) -> Comparison:
    """The logits of a changed run against the original's `log_probabilities`; sums over V are in their dtype."""
    target = target.to(changed.device)
    parts = _slices(len(target), changed.shape[-1])
    found = [_compared(log_p[part], _log_p(changed[part]), target[part]) for part in parts]
    return Comparison(*(torch.cat(column) for column in zip(*found, strict=True)))


def _compared(log_p: Tensor, log_q: Tensor, target: Tensor) -> Comparison:
    return Comparison(_ce(log_q, target), _kl(log_p, log_q), _kl(log_q, log_p))


def _ce(log_p: Tensor, target: Tensor) -> Tensor:
    return -log_p.gather(1, target[:, None]).squeeze(1)


def _kl(log_p: Tensor, log_q: Tensor) -> Tensor:
    # A token that p excludes adds nothing, also where its log is minus infinity.
    p = log_p.exp()
    return torch.where(p > 0, p * (log_p - log_q), 0.0).sum(-1)


def _log_p(logits: Tensor) -> Tensor:
    return torch.log_softmax(logits.to(torch.promote_types(logits.dtype, torch.float32)), dim=-1)


def _slices(n: int, width: int) -> Iterator[slice]:
    step = max(1, _SLICE_ENTRIES // width)
    return (slice(start, start + step) for start in range(0, n, step))
