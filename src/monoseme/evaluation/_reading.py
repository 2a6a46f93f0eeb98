"""What an SAE makes of a chunk: the reconstruction of its unmasked tokens and the codes that fired on them.

Letters: C contexts, S positions, T unmasked tokens, D width.
"""

from typing import TYPE_CHECKING, NamedTuple

import torch

from monoseme.core.errors import ConfigError
from monoseme.evaluation._latents import Firings
from monoseme.tensors.shapes import Bool, Float, Tensor

if TYPE_CHECKING:
    from monoseme.saes import SAE


class Reading(NamedTuple):
    """An SAE's view of T tokens."""

    x: Float[Tensor, "T D"]
    x_hat: Float[Tensor, "T D"]
    firings: Firings


@torch.no_grad()
def read(sae: "SAE", x: Float[Tensor, "C S D"], mask: Bool[Tensor, "C S"], *, part: str | None) -> Reading:
    """Encodes and decodes as the SAE is used: token by token, or whole contexts where it reads these.

    Raises ConfigError for an SAE that reads several sites at once.
    """
    mask = mask.to(x.device)
    if sae.reads not in ("tokens", "contexts"):
        raise ConfigError(f"fidelity measures SAEs that read tokens or contexts; {type(sae).__name__} reads {sae.reads}")
    given = x if sae.reads == "contexts" else x[mask]
    codes = sae.encode(given)
    if part is not None:
        codes = codes.with_all(codes.part(part))
    x_hat, sparse = sae.decode(codes), codes.sparse()
    if sae.reads == "contexts":
        x_hat, sparse = x_hat[mask], sparse.select_rows(mask)
    return Reading(x[mask], x_hat, Firings(sparse.rows(), sparse.indices, sparse.values))
