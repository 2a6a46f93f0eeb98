"""Qwen2 and Qwen2.5: Llama's blocks with biases on queries, keys and values."""

from typing import Any

from torch import nn

from monoseme.models._family import Anatomy, Family
from monoseme.models.families._prenorm import Names, anatomy_by_names


class Qwen2(Family):
    """`Qwen2ForCausalLM`."""

    def anatomy(self, model: nn.Module, config: Any) -> Anatomy:
        """See `Family.anatomy`."""
        return anatomy_by_names(model, config, Names())
