"""GPT-2: LayerNorm before attention and MLP, learned positions that are part of the embeddings."""

from typing import Any

from torch import nn

from monoseme.models._family import Anatomy, Family
from monoseme.models.families._prenorm import Names, anatomy_by_names

_NAMES = Names(decoders=("transformer",), blocks="h", final_norm="ln_f", attention="attn", w_o="c_proj")


class GPT2(Family):
    """`GPT2LMHeadModel`."""

    def anatomy(self, model: nn.Module, config: Any) -> Anatomy:
        """See `Family.anatomy`."""
        return anatomy_by_names(model, config, _NAMES, layer_norm=True)
