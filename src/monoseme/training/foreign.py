"""SAEs that another tool trained, learning on: their parameters stay, and only what a loss divides by is measured."""

from dataclasses import replace

import torch

from monoseme.core.display import get_display
from monoseme.saes import SAE, NormaliseConfig
from monoseme.tensors.shapes import Float, Tensor

IMPORTED = "imported"
"""Among the provenance of an SAE: what another tool's files say of it."""
_NORM_TOLERANCE = 1e-3
_MEASURED = frozenset({"input_variance", "site_variance"})


@torch.no_grad()
def measure_only(sae: SAE, sample: Float[Tensor, "*lead D"]) -> None:
    """Measures the variance of raw activations in the SAE's own scale; parameters and all else stay, to the bit.

    `SAE.start` would find another b_dec and another scale, in which the parameters mean something else. Raises what it raises.
    """
    before = {name: value.clone() for name, value in sae.state_dict().items()}
    config = sae.config
    try:
        if config.normalise.folds:  # measured raw, then brought to the scale that the parameters are in
            sae.config = replace(config, normalise=NormaliseConfig(kind="none"))
        sae.started.fill_(True)  # nothing that belongs to the first start of a new SAE, such as a lens, is read
        sae.start(sample)
    finally:
        sae.config = config
        now = sae.state_dict()
        kept = {name: now[name] if name in _MEASURED else value for name, value in before.items()}
        sae.load_state_dict(kept)
    _rescale(sae)
    sae.started.fill_(True)
    _tell_norms(sae)


def _rescale(sae: SAE) -> None:
    """Variances of raw activations become those of the space that the parameters are in."""
    buffers = dict(sae.named_buffers())
    if "site_variance" in buffers:  # of several sites, each with a scale of its own
        buffers["site_variance"].mul_(buffers["output_factor"].square())
        sae.input_variance.copy_(buffers["site_variance"].sum())
    else:
        sae.input_variance.mul_(sae.input_factor.square())


def _tell_norms(sae: SAE) -> None:
    """Says where training will change what the file holds by more than a step: rows that it keeps at norm 1, and are not."""
    for name in sae.unit_norm:
        norms = sae.get_parameter(name).double().norm(dim=-1)
        n_other = int(((norms - 1).abs() > _NORM_TOLERANCE).sum())
        if n_other:
            get_display().warn(
                f"{n_other:,} of {norms.numel():,} rows of {name} do not have norm 1; the first step of training makes it so"
            )
