"""Export: the weights of an SAE with its input normalisation folded in.

With x_n = s x:  f = relu((s x - b_dec) W_enc + b_enc) = s relu((x - b_dec / s) W_enc + b_enc / s), so dividing both biases (and
any threshold) by s gives the codes f / s, which are what `encode` returns anyway. What scales each vector by itself has no
such s and stays.
"""

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any, TypeVar

import torch

from monoseme.kernels import Encoder
from monoseme.saes._base import SAE
from monoseme.saes._mesh import on_shard
from monoseme.saes._normalise import NormaliseConfig
from monoseme.saes._registry import SAES
from monoseme.tensors.shapes import Tensor

_BIASES = ("b_enc", "b_dec", "threshold")
_Made = TypeVar("_Made", bound=SAE)


def folded_config(config: Any) -> Any:
    """The same settings for raw activations; unchanged where the normalisation cannot be folded."""
    return replace(config, normalise=NormaliseConfig(kind="none")) if config.normalise.folds else config


@torch.no_grad()
def folded_state(sae: SAE) -> dict[str, Tensor]:
    """The state of `sae` with biases and thresholds divided by its input factor, for a config from `folded_config`."""
    state = {name: tensor.clone() for name, tensor in sae.state_dict().items()}
    for name in _BIASES:
        if name in state:
            state[name] /= sae.input_factor
    state["input_variance"] /= sae.input_factor**2
    state["input_factor"].fill_(1.0)
    return state


@torch.no_grad()
def with_thresholds(
    sae: SAE, thresholds: Tensor, *, encoder: Encoder | None = None, groups: Mapping[str, int] | None = None
) -> SAE:
    """The architecture "thresholded" that keeps activations above `thresholds` ([F], in the normalised space of `sae`).

    `encoder` takes the place of W_enc and b_enc, in that space too; None for those of `sae`. `groups`, name -> size, are the
    parts of its codes beside the whole.
    """
    config = folded_config(sae.config)
    kind = SAES.get("thresholded")
    settings: dict[str, Any] = {field.name: getattr(config, field.name) for field in fields(SAE.Config)}
    if groups:
        settings |= {"group_sizes": tuple(groups.values()), "group_names": tuple(groups)}
    with on_shard(sae.shard):
        made = kind(kind.Config(**settings))
    state = folded_state(sae)
    if encoder is not None:
        state |= {"W_enc": encoder.weight, "b_enc": encoder.bias / sae.input_factor}
    return successor(sae, made, {**state, "threshold": thresholds / sae.input_factor})


@torch.no_grad()
def folded_copy(sae: SAE) -> SAE:
    """The same architecture for raw activations."""
    with on_shard(sae.shard):
        made = type(sae)(folded_config(sae.config))
    return successor(sae, made, folded_state(sae))


def successor(sae: SAE, made: _Made, state: Mapping[str, Tensor]) -> _Made:
    """`made`, with that state, where `sae` is: on its device, in its dtype, with its kernels and its provenance.

    Entries of the state that `made` does not have are left out; it must have all of its own.
    """
    made.to(device=sae.b_dec.device, dtype=sae.b_dec.dtype)
    made.load_state_dict({name: state[name] for name in made.state_dict()})
    made.kernel_choice = sae.kernel_choice
    made.provenance = dict(sae.provenance)
    return made
