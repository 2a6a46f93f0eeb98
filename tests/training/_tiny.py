"""A tiny stream and tiny runs on it, shared by the tests and by the processes that they kill.

As a script: trains in the folder given, resuming what is there; prints nothing, so that only its files can be compared.
"""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from monoseme.activations import SourceSeconds
from monoseme.core.seeds import generator
from monoseme.models.site import Site
from monoseme.saes import SAE
from monoseme.saes.topk import TopK
from monoseme.training import Callbacks, Job, TrainConfig, TrainResult, train_on
from monoseme.training.feed import Rows
from monoseme.training.validation import HeldOut

B, D, F, K = 5, 7, 11, 3


class TinyFeed:
    """Sparse mixtures of F fixed directions plus an offset; each step's batch is a function of seed and step."""

    def __init__(self, n_jobs: int = 1, *, seed: int = 0, batch_size: int = B) -> None:
        self._n_jobs, self._seed, self._batch_size, self._next = n_jobs, seed, batch_size, 0

    def batch(self, step: int) -> Rows:
        directions = torch.randn(F, D, generator=generator(self._seed, "directions"))
        rng = generator(self._seed, "batch", step)
        active = torch.rand(self._batch_size, F, generator=rng) < 0.3
        sizes = torch.rand(self._batch_size, F, generator=rng)
        return Rows((active * sizes) @ directions + 2.0)

    def advance(self) -> list[Rows]:
        batch = self.batch(self._next)
        self._next += 1
        return [batch] * self._n_jobs

    def cursor(self) -> dict[str, Any]:
        return {"step": self._next}

    def seek(self, cursor: dict[str, Any]) -> None:
        self._next = cursor["step"]

    def seconds(self) -> SourceSeconds:
        return SourceSeconds()


def tiny_sae(seed: int = 0, **settings: Any) -> SAE:
    return TopK(TopK.Config(**{"d_in": D, "n_latents": F, "k": K, "seed": seed, "dead_after_tokens": 23, **settings}))


def tiny_config(**settings: Any) -> TrainConfig:
    defaults: dict[str, Any] = {
        "n_steps": 13,
        "batch_size": B,
        "start_tokens": 17,
        "lr": 0.008,
        "log_every": 3,
        "validate_every": 4,
    }
    return TrainConfig(**{**defaults, "validate_every": 4, "checkpoint_every": 2, "checkpoint_at": (), **settings})


def tiny_held_out(names: tuple[str, ...]) -> dict[str, HeldOut]:
    batches = [TinyFeed().batch(step) for step in range(1000, 1003)]  # later than any test trains
    return {name: HeldOut(batches, batches) for name in names}


def tiny_run(
    folder: Path, *, names: tuple[str, ...] = ("one", "two"), on_step: Callable[[int], None] | None = None,
    validate: Callable[[str, SAE], dict[str, float]] | None = None, resume: bool = False, dead_after_tokens: int = 23,
    **settings: Any,
) -> TrainResult:  # fmt: skip
    site = Site.parse("resid_post.3")
    saes = {name: tiny_sae(seed, dead_after_tokens=dead_after_tokens) for seed, name in enumerate(names)}
    jobs = [Job(name, sae, (site,)) for name, sae in saes.items()]
    config = tiny_config(**settings)
    callbacks = Callbacks(on_step=on_step, validate=validate)
    feed = TinyFeed(len(jobs), batch_size=config.batch_size)
    held_out = tiny_held_out(names)
    return train_on(feed, jobs, config, folder=folder, held_out=held_out, callbacks=callbacks, resume=resume)


if __name__ == "__main__":
    torch.set_num_threads(1)
    tiny_run(Path(sys.argv[1]), resume=True, n_steps=int(sys.argv[2]), checkpoint_every=1)
