"""Qwen3: Llama's blocks with a norm on each head's queries and keys."""

from typing import Any

from torch import nn

from monoseme.models._family import Anatomy, Family
from monoseme.models.families._prenorm import Names, anatomy_by_names


class Qwen3(Family):
    """`Qwen3ForCausalLM`."""

    def anatomy(self, model: nn.Module, config: Any) -> Anatomy:
        """See `Family.anatomy`."""
        return anatomy_by_names(model, config, Names())
