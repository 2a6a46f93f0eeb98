"""What a splice and an evaluation ask of an SAE, so that fakes and third parties fit.

Letters: B rows, n contexts, S positions, D model width.
"""

import itertools
from typing import Any, ClassVar, Protocol, runtime_checkable

import torch
from torch import nn

from monoseme.saes import Codes
from monoseme.saes._base import Roles
from monoseme.tensors.shapes import Bool, Float, Tensor


@runtime_checkable
class SAELike(Protocol):
    """The part of `monoseme.saes.SAE` that is used of one in its places; `_base.py` there says what each means."""

    # Texts; Any, because a class attribute of a protocol would have to be of exactly its type.
    learns_from: ClassVar[Any]
    reads: ClassVar[Any]
    codes_per_site: ClassVar[Any]

    @property
    def d_in(self) -> int:
        """D."""
        ...

    @property
    def n_latents(self) -> int:
        """F."""
        ...

    @classmethod
    def roles(cls, n_sites: int) -> Roles:
        """Which of n sites it reads and which it gives back."""
        ...

    def encode(self, x: Float[Tensor, "*lead D"], state: Any = None) -> Codes:
        """Codes of raw activations."""
        ...

    def encode_contexts(self, x: Float[Tensor, "n S *site D"], mask: Bool[Tensor, "n S"]) -> Codes:
        """Codes of whole contexts; asked for only where it reads contexts."""
        ...

    def decode(self, codes: Codes) -> Float[Tensor, "*lead D"]:
        """Raw activations from codes."""
        ...


def as_computed(sae: object, x: torch.Tensor) -> torch.Tensor:
    """x where the SAE is, which may be another device than the model's, in the type in which it computes."""
    device = x.device
    if isinstance(sae, nn.Module):
        device = next((tensor.device for tensor in itertools.chain(sae.parameters(), sae.buffers())), device)
    return x.to(device=device, dtype=computes_in(sae, x.dtype))


def computes_in(sae: object, of_model: torch.dtype) -> torch.dtype:
    """The type in which `sae` computes: its weights'; float32 at least for an SAE without any."""
    if isinstance(sae, nn.Module):
        for parameter in sae.parameters():
            return parameter.dtype
    return torch.promote_types(of_model, torch.float32)
