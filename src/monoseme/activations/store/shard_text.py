"""The text of a shard as the tensors of its file. Letters: n contexts, S positions."""

from collections.abc import Sequence

import torch

from monoseme.activations.store.sizes import TEXT_DTYPES
from monoseme.tensors.shapes import Tensor
from monoseme.text.block import TokenBlock


def text_tensors(texts: Sequence[TokenBlock], heldout: Sequence[bool]) -> dict[str, Tensor]:
    """The blocks of a shard one after the other, in the types of its file; `heldout` says of each block whether it is."""
    tensors = {name: torch.cat([getattr(text, name).cpu() for text in texts]).to(dtype) for name, dtype in TEXT_DTYPES.items()}
    n_contexts = torch.tensor([text.n_contexts for text in texts])
    return tensors | {"heldout": torch.tensor(heldout, dtype=torch.uint8).repeat_interleave(n_contexts)}
