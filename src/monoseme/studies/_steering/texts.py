"""Numbers of generated texts: surprise under the unsteered model, divergence from it, repetition, tokens of a concept.

Letters: S positions, V vocabulary.
"""

from collections.abc import Collection, Sequence

import torch

from monoseme.core.errors import UndefinedMetricError
from monoseme.tensors.shapes import Float, Int, Tensor

N_GRAMS = (1, 2, 3)
"""Lengths of n-grams whose diversity is told."""


def log_probabilities(logits: Float[Tensor, "S V"]) -> Float[Tensor, "S V"]:
    """ln p of every token at every position, float64."""
    return torch.log_softmax(logits.double(), dim=-1)


def surprise(log_p: Float[Tensor, "S V"], tokens: Int[Tensor, " S"]) -> float:
    """Sum of -ln p(token) over the positions; row i is what token i was chosen from."""
    return float(-log_p.gather(1, tokens.to(log_p.device)[:, None]).sum())


def divergence(log_p: Float[Tensor, "S V"], log_q: Float[Tensor, "S V"]) -> float:
    """Sum over positions of KL(p || q) = sum p (ln p - ln q), in nats; a token that p never takes adds nothing."""
    p = log_p.exp()
    return float(torch.where(p > 0, p * (log_p - log_q), 0.0).sum())


def distinct(tokens: Sequence[int], n: int) -> float | None:
    """Distinct n-grams as a share of all, in (0, 1]; None for a text of fewer than n tokens.

    Source: Li et al. 2016, arXiv:1510.03055 (distinct-n), here for each text by itself: of many texts together it would fall with
    their number.
    """
    grams = [tuple(tokens[i : i + n]) for i in range(len(tokens) - n + 1)]
    return len(set(grams)) / len(grams) if grams else None


def n_of(tokens: Sequence[int], concept: Collection[int]) -> int:
    """How many of the tokens are of the concept."""
    wanted = frozenset(concept)
    return sum(token in wanted for token in tokens)


def perplexity(surprises: Sequence[float], n_tokens: Sequence[int]) -> float:
    """exp of the mean surprise of all tokens together. Raises UndefinedMetricError where there is no token."""
    if not sum(n_tokens):
        raise UndefinedMetricError("no token was generated, so that there is no perplexity")
    return float(torch.tensor(sum(surprises) / sum(n_tokens), dtype=torch.float64).exp())
