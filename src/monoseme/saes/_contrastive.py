"""Temporal terms of T-SAE: how alike the high-level codes of two tokens of one context are.

    contrastive       S = f f'^T / temperature [B, B];   1/2 [CE(S, identity) + CE(S^T, identity)]   (symmetric InfoNCE)
    non-contrastive   mean_b ||f_b - f'_b||_1 cos(x_b, x'_b)

f are the codes of the current tokens, f' those of the earlier ones, row by row, both of the latents of one group alone. The
logits are products of the two as dense matrices: a high group is small, and as it learns to last it fires too densely for sparse
products to be faster (at 20 active of 819 latents and B 2,048: a third of the time).

Source: the code of T-SAE (AI4LIFE-GROUP/temporal-saes), `TemporalMatryoshkaBatchTopKTrainer.loss`: plain dot products, no
temperature. Cosines and the temperature are ours.
Letters: B rows, F latents, D model width.
"""

from typing import Literal

import torch
from torch.nn import functional

from monoseme.tensors.shapes import Float, Tensor
from monoseme.tensors.sparse import SparseCodes

Similarity = Literal["dot", "cosine"]
_EPS = 1e-8


def info_nce(
    current: SparseCodes, earlier: SparseCodes, *, similarity: Similarity = "dot", temperature: float = 1.0
) -> Float[Tensor, ""]:
    """Symmetric InfoNCE: each current token is to be told from the others by its earlier one, and the other way round.

    log B for codes that say nothing, 0 at best. With cosine, a row without an active latent is at 0 from everything.
    """
    if similarity == "cosine":
        current, earlier = _unit_rows(current), _unit_rows(earlier)
    logits = current.to_dense() @ (earlier.to_dense() / temperature).t()
    same = torch.arange(logits.shape[0], device=logits.device)
    return (functional.cross_entropy(logits, same) + functional.cross_entropy(logits.t(), same)) / 2


def weighted_change(
    current: SparseCodes, earlier: SparseCodes, x: Float[Tensor, "B D"], x_earlier: Float[Tensor, "B D"]
) -> Float[Tensor, ""]:
    """mean_b ||f_b - f'_b||_1 cos(x_b, x'_b): codes of similar inputs should not differ."""
    places = torch.cat([codes.rows() * codes.n_latents + codes.indices for codes in (current, earlier)])
    places, entry = places.unique(return_inverse=True)
    change = current.values.new_zeros(places.shape[0]).index_add(0, entry, torch.cat([current.values, -earlier.values]))
    rows = places // current.n_latents
    change_of_row = current.values.new_zeros(current.n_rows).index_add(0, rows, change.abs())
    return (change_of_row * functional.cosine_similarity(x, x_earlier, dim=1)).mean()


def _unit_rows(codes: SparseCodes) -> SparseCodes:
    rows = codes.rows()
    squares = codes.values.new_zeros(codes.n_rows).index_add(0, rows, codes.values.square())
    return codes.with_values(codes.values / (squares + _EPS**2).sqrt().index_select(0, rows))
