"""The tokens whose embeddings are nearest to what each latent writes.

Letters: F latents, D width, V vocabulary, k neighbours.
Source: MLSAE's `figures/embed_cos_sim.py`: cosine of decoder rows with rows of the input and the output embedding.
"""

import contextlib
from typing import NamedTuple

import torch
from torch.nn import functional

from monoseme.core.errors import ModelError
from monoseme.core.seeds import generator
from monoseme.models import LanguageModel
from monoseme.studies._base import Row
from monoseme.tensors.shapes import Float, Int, Tensor

_N_RANDOM = 200
"""Random directions whose nearest embedding is what chance gives."""
_MOST_NUMBERS = 1 << 24
"""Cosines held at a time, 64 MB."""


class Nearest(NamedTuple):
    """The k nearest rows of one embedding to each of F directions, nearest first."""

    embedding: str
    """`input`, `output`, or `input and output` where the model ties them."""
    token: Int[Tensor, "F k"]
    cosine: Float[Tensor, "F k"]
    """float64."""
    by_chance: float
    """Mean over random directions of their largest cosine."""


def nearest_embeddings(model: LanguageModel, directions: Float[Tensor, "F D"], *, k: int) -> list[Nearest]:
    """For the input embedding and, where the model has another one, for the output embedding. Empty if the widths differ."""
    tables = {"input": model.embedding()}
    with contextlib.suppress(ModelError):  # a model without one has tokens at its beginning only
        tables["output"] = model.unembedding().T
    if len(tables) == 2 and _same(tables["input"], tables["output"]):
        tables = {"input and output": tables["input"]}
    random = torch.randn(_N_RANDOM, directions.shape[1], generator=generator(0, "layers", "random directions"))
    return [
        Nearest(name, *_nearest(directions, rows, k=k), by_chance=float(_nearest(random, rows, k=1)[1].mean()))
        for name, rows in tables.items()
        if rows.shape[1] == directions.shape[1]
    ]


def _same(a: Tensor, b: Tensor) -> bool:
    return a.shape == b.shape and torch.equal(a, b)


@torch.no_grad()
def _nearest(
    directions: Float[Tensor, "F D"], rows: Float[Tensor, "V D"], *, k: int
) -> tuple[Int[Tensor, "F k"], Float[Tensor, "F k"]]:
    """Chosen by float32 products, told in float64."""
    unit, rows = functional.normalize(directions.double(), dim=1), rows.detach().cpu().double()
    others = functional.normalize(rows, dim=1)
    screen, tokens, cosines = others.float().T.contiguous(), [], []
    for part in unit.split(max(1, _MOST_NUMBERS // len(rows))):
        token = (part.float() @ screen).topk(min(k, len(rows)), dim=1).indices
        cosine, order = torch.einsum("nd,nkd->nk", part, others[token]).sort(dim=1, descending=True, stable=True)
        tokens.append(token.gather(1, order))
        cosines.append(cosine)
    return torch.cat(tokens), torch.cat(cosines)


def embedding_rows(
    found: Nearest, model: LanguageModel, *, sae: str, latents: Int[Tensor, " F"], means: Float[Tensor, " F"]
) -> list[Row]:
    """A row for each latent and neighbour; `latents` and `means` (their mean layers) are those of the directions."""
    texts = iter(model.decode_tokens(found.token.reshape(-1).tolist()))
    return [
        {
            "sae": sae,
            "latent": int(latent),
            "layer_mean": float(mean),
            "embedding": found.embedding,
            "rank": rank,
            "token_id": int(found.token[i, rank - 1]),
            "token": next(texts),
            "cosine": float(found.cosine[i, rank - 1]),
        }
        for i, (latent, mean) in enumerate(zip(latents.tolist(), means.tolist(), strict=True))
        for rank in range(1, found.token.shape[1] + 1)
    ]
