"""An SAE whose latents several processes divide, as training sees it."""

from collections.abc import Mapping

from torch import Tensor

from monoseme.saes import SAE
from monoseme.tensors.processes import Group


def latents_of(sae: SAE) -> Group:
    """The processes that hold the other latents of the SAE."""
    return sae.kernels.mesh.latents


def whole_tensors(sae: SAE, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors with the latents of all processes, which must all call it."""
    del sae
    return dict(tensors)


def own_tensors(sae: SAE, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors with the latents of this process."""
    del sae
    return dict(tensors)
