"""From the residual stream to logits: final norm, unembedding, capping.

Letters: D model width, V vocabulary.
"""

from typing import Any

import torch
from torch import Tensor, nn

from monoseme.core.errors import ModelError
from monoseme.models._family import Anatomy


class Unembedding:
    """The end of one model."""

    def __init__(self, model: nn.Module, anatomy: Anatomy) -> None:
        """Looks nothing up yet: some models have no such end, and capture works without."""
        self._model: Any = model
        self._anatomy = anatomy

    @property
    def dtype(self) -> torch.dtype:
        """Type of the embeddings, in which activations are computed."""
        return self._model.get_input_embeddings().weight.dtype

    def logits(self, x: Tensor, *, normed: bool) -> Tensor:
        """[..., V] from [..., D]; `normed` puts the final norm before. Computed in the model's dtype."""
        norm, head = self._parts()
        x = x.to(device=head.weight.device, dtype=self.dtype)
        logits = head(norm(x) if normed else x)
        cap = self._anatomy.logit_softcap
        return logits if cap is None else cap * torch.tanh(logits / cap)

    def matrix(self) -> Tensor:
        """W_U [D, V], a view of the weights."""
        _, head = self._parts()
        return head.weight.detach().T

    def embedding(self) -> Tensor:
        """W_E [V, D], a view of the weights: what a token puts into the residual stream, before any factor of the family."""
        return self._model.get_input_embeddings().weight.detach()

    def scale(self) -> Tensor:
        """float32 [D]; ones for a norm without weights."""
        norm, head = self._parts()
        weight = getattr(norm, "weight", None)
        if weight is None:
            return torch.ones(head.weight.shape[1], device=head.weight.device)
        return weight.detach().float() + self._anatomy.norm_offset

    @property
    def is_there(self) -> bool:
        """Whether logits are the unembedding of the normed residual."""
        return self._anatomy.why_no_unembed is None and self._anatomy.final_norm is not None

    def _parts(self) -> tuple[Any, Any]:
        if not self.is_there:
            raise ModelError(f"{type(self._model).__name__} cannot be unembedded: {self._anatomy.why_no_unembed}")
        return self._anatomy.final_norm, self._model.get_output_embeddings()
