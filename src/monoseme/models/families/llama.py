"""Llama 1 to 3 and what is built like it: RMSNorm before attention and MLP, rotary positions."""

from typing import Any

from torch import nn

from monoseme.models._family import Anatomy, Family
from monoseme.models.families._prenorm import Names, anatomy_by_names


class Llama(Family):
    """`LlamaForCausalLM`."""

    def anatomy(self, model: nn.Module, config: Any) -> Anatomy:
        """See `Family.anatomy`."""
        return anatomy_by_names(model, config, Names())
