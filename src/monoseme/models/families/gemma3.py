"""Gemma 3: sandwich norms, five sliding layers to one of full attention, norms on queries and keys."""

from typing import Any

from torch import nn

from monoseme.models._family import Anatomy, Family
from monoseme.models.families._gemma import gemma_anatomy


class Gemma3(Family):
    """`Gemma3ForCausalLM`, and the text part of `Gemma3ForConditionalGeneration`."""

    def anatomy(self, model: nn.Module, config: Any) -> Anatomy:
        """See `Family.anatomy`."""
        return gemma_anatomy(model, config)
