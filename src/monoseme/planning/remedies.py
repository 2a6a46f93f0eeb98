"""What would fit instead: other settings, each tried by the same sums as the plan, the mildest first.

A remedy changes one setting, by halves, until the sum is small enough. Only those that get there are told.
"""

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from monoseme.core.errors import ConfigError
from monoseme.pipeline import RunConfig
from monoseme.planning.parts import memory_of
from monoseme.saes import SAE

_MOST_HALVINGS = 20


class Change(NamedTuple):
    """Settings to try, and what to type for them."""

    flag: str
    config: RunConfig


def first_fitting(changes: Iterator[Change], need: Callable[[RunConfig], float], *, most: float) -> str | None:
    """The flag of the first change whose need is at most `most`; None where none is."""
    for change in changes:
        if need(change.config) <= most:
            return change.flag
    return None


def memory_changes(config: RunConfig) -> list[Iterator[Change]]:
    """Ways to need less memory: those that change no result first."""
    return [
        _own_device(config),
        _accumulate(config),
        _batches(config),
        _window(config),
        _validation(config),
        _latents(config),
        _halves(config),
    ]


def _own_device(config: RunConfig) -> Iterator[Change]:
    """The SAEs on the second GPU, where the model is on the first."""
    if config.stream.sae_device is None and memory_of(config.model.device) == "cuda:0":
        yield Change("--stream.sae_device cuda:1", _with(config, stream=dataclasses.replace(config.stream, sae_device="cuda:1")))


def _accumulate(config: RunConfig) -> Iterator[Change]:
    """The batch in parts."""
    n = config.train.accumulate * 2
    while n <= config.train.batch_size:
        yield Change(f"--train.accumulate {n}", _train(config, accumulate=n))
        n *= 2


def _batches(config: RunConfig) -> Iterator[Change]:
    size = config.train.batch_size // 2
    while size >= 64:
        yield Change(f"--train.batch_size {size}", _train(config, batch_size=size, accumulate=min(config.train.accumulate, size)))
        size //= 2


def _window(config: RunConfig) -> Iterator[Change]:
    """Smaller blocks, and fewer."""
    contexts = config.stream.contexts_per_block
    while contexts > 1:
        contexts //= 2
        stream = dataclasses.replace(config.stream, contexts_per_block=contexts)
        yield Change(f"--stream.contexts_per_block {contexts}", _with(config, stream=stream))


def _validation(config: RunConfig) -> Iterator[Change]:
    if config.stream.validation_loss_tokens is not None:
        stream = dataclasses.replace(config.stream, validation_loss_tokens=None)
        yield Change("--stream.validation_loss_tokens None", _with(config, stream=stream))


def _latents(config: RunConfig) -> Iterator[Change]:
    """Fewer latents in every SAE that is started here."""
    largest = max((sae.n_latents for sae in config.saes), default=0)
    for _ in range(_MOST_HALVINGS):
        largest //= 2
        if largest < 64:
            return
        try:
            saes = tuple(_narrowed(sae, largest) for sae in config.saes)
        except ConfigError:  # a k, or groups, that need more latents
            return
        yield Change(f"--sae.n_latents {largest}", RunConfig.of(config.settings, saes))


def _narrowed(sae: SAE.Config, largest: int) -> SAE.Config:
    return dataclasses.replace(sae, n_latents=largest) if sae.n_latents > largest else sae


def _halves(config: RunConfig) -> Iterator[Change]:
    if config.model.dtype == "float32":
        yield Change("--model.dtype bfloat16", _with(config, model=dataclasses.replace(config.model, dtype="bfloat16")))


def disk_changes(config: RunConfig) -> list[Iterator[Change]]:
    """Ways to write less."""
    return [_keep(config), _latents(config)]


def _keep(config: RunConfig) -> Iterator[Change]:
    if config.train.keep > 1:
        yield Change("--train.keep 1", _train(config, keep=1))


def _train(config: RunConfig, **changes: Any) -> RunConfig:
    return _with(config, train=dataclasses.replace(config.train, **changes))


def _with(config: RunConfig, **changes: Any) -> RunConfig:
    return RunConfig.of(dataclasses.replace(config.settings, **changes), config.saes)
