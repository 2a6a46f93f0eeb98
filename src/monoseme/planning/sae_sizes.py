"""The tensors of an SAE in training and of what it ends as, by their shapes: the real classes, built without memory.

Architectures say their shapes in code, not in a table, so that code is run on torch's fake tensors, which have types and shapes
only. An architecture whose code looks at values (SpaDE, TFA) is built in earnest instead, with few latents.
"""

import copy
import dataclasses
from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from monoseme.core.errors import ConfigError
from monoseme.planning.tensor_files import Sized, n_bytes, sizes_of
from monoseme.saes import SAE, build
from monoseme.training.config import TrainConfig
from monoseme.training.life import LatentLife

_MOST_LATENTS = 1 << 13
_MOST_REAL = 1 << 12
"""Latents of one that is built in earnest."""


class SaeSizes(NamedTuple):
    """One SAE, without its numbers."""

    name: str
    config: SAE.Config
    weights: dict[str, Sized]
    """Parameters and buffers, by name."""
    parameters: dict[str, Sized]
    """Those that learn."""
    transposed: frozenset[str]
    """Parameters that do not lie in plain order, and are copied to be written."""
    exported: dict[str, Sized]
    """What the finished SAE is saved as."""
    counts: dict[str, Sized]
    """Of the latents' life in the log window."""

    def optimiser(self) -> dict[str, Sized]:
        """Both moments and the count of steps of each parameter."""
        found: dict[str, Sized] = {}
        for name, sized in self.parameters.items():
            found[f"{name}.step"] = Sized(torch.float32, ())
            found |= {f"{name}.{moment}": sized for moment in ("exp_avg", "exp_avg_sq")}
        return found

    def learner(self, train: TrainConfig) -> dict[str, Sized]:
        """What else a checkpoint has: counts, and the mean of the weights where one is kept."""
        means = {} if train.ema_decay is None else {f"mean.{name}": sized for name, sized in self.parameters.items()}
        return {f"life.{name}": sized for name, sized in self.counts.items()} | means

    @property
    def weight_bytes(self) -> int:
        """Of parameters and buffers."""
        return n_bytes(self.weights)

    @property
    def parameter_bytes(self) -> int:
        """Of what learns."""
        return n_bytes(self.parameters)


def sae_sizes(name: str, config: SAE.Config) -> SaeSizes:
    """The tensors of an SAE of that config; its `d_in` must be known. Raises ConfigError.

    Dictionaries are drawn block by block, fake ones too; and a real one takes memory. So of a wide SAE two narrower ones are
    sized, and each axis is taken to grow with the latents as it does between them.
    """
    try:
        return _from_narrower(name, config, _fake, most=_MOST_LATENTS)
    except (RuntimeError, NotImplementedError):  # torch's own, for what a fake tensor cannot answer
        return _from_narrower(name, config, _real, most=_MOST_REAL)


def _from_narrower(name: str, config: SAE.Config, made: Callable[[str, SAE.Config], SaeSizes], *, most: int) -> SaeSizes:
    narrow = _narrower(config, most)
    if not narrow:
        return made(name, config)
    near, far = (made(name, one) for one in narrow)
    times = config.n_latents // far.config.n_latents - 1
    return SaeSizes(
        name=name,
        config=config,
        weights=_grown(near.weights, far.weights, times),
        parameters=_grown(near.parameters, far.parameters, times),
        transposed=near.transposed,
        exported=_grown(near.exported, far.exported, times),
        counts=_grown(near.counts, far.counts, times),
    )


def _narrower(config: SAE.Config, most: int) -> list[SAE.Config]:
    """Two of a half's and a quarter's kind with at most `most` latents, the wider first; none where the config is that narrow, or
    its other settings allow no narrower one."""
    found = [config]
    while found[-1].n_latents * 2 > most and found[-1].n_latents % 2 == 0:
        try:
            found.append(dataclasses.replace(found[-1], n_latents=found[-1].n_latents // 2))
        except ConfigError:  # a k, or groups, that need more latents
            break
    return found[-2:] if len(found) > 2 else []


def _grown(near: Mapping[str, Sized], far: Mapping[str, Sized], times: int) -> dict[str, Sized]:
    """Each axis as long as in `far`, and so many times what it grows from there to `near`."""
    return {
        name: Sized(sized.dtype, tuple(b + times * (a - b) for a, b in zip(sized.shape, far[name].shape, strict=True)))
        for name, sized in near.items()
    }


def _fake(name: str, config: SAE.Config) -> SaeSizes:
    with FakeTensorMode():
        return _sizes(name, build(config))


def _real(name: str, config: SAE.Config) -> SaeSizes:
    return _sizes(name, build(config))


def sizes_of_sae(name: str, sae: SAE) -> SaeSizes:
    """Those of one that is there already."""
    return _sizes(name, copy.deepcopy(sae))


def _sizes(name: str, sae: SAE) -> SaeSizes:
    learns = {key: parameter for key, parameter in sae.named_parameters() if parameter.requires_grad}
    return SaeSizes(
        name=name,
        config=sae.config,
        weights=sizes_of(sae.state_dict()),
        parameters=sizes_of(learns),
        transposed=frozenset(key for key, parameter in learns.items() if not parameter.is_contiguous()),
        exported=sizes_of(sae.export().state_dict()),
        counts=sizes_of(LatentLife(sae).tensors()),
    )
