"""Mistral: Llama's blocks with attention over a sliding window."""

from typing import Any

from torch import nn

from monoseme.models._family import Anatomy, Family
from monoseme.models.families._prenorm import Names, anatomy_by_names


class Mistral(Family):
    """`MistralForCausalLM`."""

    def anatomy(self, model: nn.Module, config: Any) -> Anatomy:
        """See `Family.anatomy`."""
        return anatomy_by_names(model, config, Names())
