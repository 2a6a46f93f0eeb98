"""GPT-NeoX and Pythia: attention and MLP side by side on one residual stream, LayerNorm, rotary positions.

With `use_parallel_residual=False` the blocks are sequential.
"""

from typing import Any

from torch import nn

from monoseme.models._family import Anatomy, Family
from monoseme.models.families._prenorm import Names, anatomy_by_names

_NAMES = Names(decoders=("gpt_neox",), final_norm="final_layer_norm", attention="attention", w_o="dense")


class GPTNeoX(Family):
    """`GPTNeoXForCausalLM`."""

    def anatomy(self, model: nn.Module, config: Any) -> Anatomy:
        """See `Family.anatomy`."""
        return anatomy_by_names(model, config, _NAMES, layer_norm=True, parallel=config.use_parallel_residual)
