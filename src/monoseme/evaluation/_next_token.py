"""What a change inside the model does to its predictions: cross-entropy and KL per next-token prediction.

A prediction counts when its source token is unmasked (the SAE could touch it) and its target is a real token of the same
document; across a boundary of packed documents there is nothing to predict. The target may be special (an end of text).

Letters: C contexts, S positions, V vocabulary, P predictions that count.
"""

from collections.abc import Iterator

import torch

from monoseme.evaluation._chunks import TokenChunk
from monoseme.tensors.shapes import Bool, Float, Int, Tensor

_SLICE_ENTRIES = 1 << 24
"""Logits handled at once, P x V: bounds the float32 copies to 64 MB each."""


def predictions(text: TokenChunk) -> Bool[Tensor, "C S"]:
    """True at source positions whose next-token prediction counts; the last position never does."""
    counts = torch.zeros_like(text.mask)
    same = text.documents[:, :-1] == text.documents[:, 1:]
    counts[:, :-1] = text.mask[:, :-1] & text.real[:, 1:] & same
    return counts


def targets(text: TokenChunk, counts: Bool[Tensor, "C S"]) -> Int[Tensor, " P"]:
    """The tokens that were to be predicted."""
    return text.tokens[:, 1:][counts[:, :-1]]


def losses(logits: Float[Tensor, "P V"], target: Int[Tensor, " P"]) -> Float[Tensor, " P"]:
    """−log p(target) in nats. Log-softmax is in float32, or float64 for float64 logits."""
    target = target.to(logits.device)
    parts = _slices(len(target), logits.shape[-1])
    return _cat([-_log_p(logits[part]).gather(1, target[part, None]).squeeze(1) for part in parts], logits)


def divergences(original: Float[Tensor, "P V"], changed: Float[Tensor, "P V"]) -> dict[str, Float[Tensor, " P"]]:
    """`kl` = KL(original ‖ changed) and `kl_reversed` = KL(changed ‖ original) in nats, in the dtype of `losses`."""
    kl: list[Tensor] = []
    reverse: list[Tensor] = []
    for part in _slices(len(original), original.shape[-1]):
        log_p, log_q = _log_p(original[part]), _log_p(changed[part])
        kl.append(_kl(log_p, log_q))
        reverse.append(_kl(log_q, log_p))
    return {"kl": _cat(kl, original), "kl_reversed": _cat(reverse, original)}


def _kl(log_p: Tensor, log_q: Tensor) -> Tensor:
    # A token that p excludes adds nothing, also where its log is minus infinity.
    p = log_p.exp()
    return torch.where(p > 0, p * (log_p - log_q), 0.0).sum(-1)


def _log_p(logits: Tensor) -> Tensor:
    return torch.log_softmax(logits.to(torch.promote_types(logits.dtype, torch.float32)), dim=-1)


def _slices(n: int, width: int) -> Iterator[slice]:
    step = max(1, _SLICE_ENTRIES // width)
    return (slice(start, start + step) for start in range(0, n, step))


def _cat(pieces: list[Tensor], like: Tensor) -> Tensor:
    return torch.cat(pieces) if pieces else like.new_zeros(0)
