"""An SAE whose latents several processes divide, as training sees it: what a checkpoint holds is that of the whole SAE."""

from collections.abc import Mapping

from torch import Tensor

from monoseme.saes import SAE, own_tensors, whole_tensors

_LIFE = {"fired": 0, "was_dead": 0}
"""What the life of the latents counts of each, and along which axis."""


def n_latents_in_all(sae: SAE) -> int:
    """Of all processes together."""
    return sae.n_latents if sae.shard.size == 1 else sae.config.n_latents


def of_whole(sae: SAE, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors with the latents of all processes, on the first of these; nothing on the others. All must call it."""
    return whole_tensors(sae, tensors, others=_LIFE)


def of_part(sae: SAE, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Of whole tensors what this process holds."""
    return own_tensors(sae, tensors, others=_LIFE)
