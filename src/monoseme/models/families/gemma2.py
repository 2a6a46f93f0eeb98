"""Gemma 2: sandwich norms, sliding and full attention by turns, logits capped by a tanh."""

from typing import Any

from torch import nn

from monoseme.models._family import Anatomy, Family
from monoseme.models.families._gemma import gemma_anatomy


class Gemma2(Family):
    """`Gemma2ForCausalLM`."""

    def anatomy(self, model: nn.Module, config: Any) -> Anatomy:
        """See `Family.anatomy`."""
        return gemma_anatomy(model, config)
