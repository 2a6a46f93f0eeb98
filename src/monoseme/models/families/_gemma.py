"""What Gemma 2 and 3 share: norms before and after attention and MLP, norms that multiply by 1 + w, capped logits."""

from typing import Any

from torch import nn

from monoseme.models._family import Anatomy
from monoseme.models.families._prenorm import Names, anatomy_by_names

_NAMES = Names(
    decoders=("model", "model.language_model"),
    attn_added="post_attention_layernorm",
    mlp_added="post_feedforward_layernorm",
)


def gemma_anatomy(model: nn.Module, config: Any) -> Anatomy:
    """The anatomy of a Gemma of the second or third generation, text-only or the text part of one that sees."""
    return anatomy_by_names(model, config, _NAMES, norm_offset=1.0)
