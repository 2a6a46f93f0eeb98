"""What the conformance battery is run on: an architecture, and configs of it in the battery's sizes."""

from dataclasses import dataclass, fields, replace
from typing import Any

import torch

from monoseme.core.seeds import generator
from monoseme.saes._base import SAE
from monoseme.tensors.shapes import Tensor

_VIEWS = {"tokens": (), "pairs": (2,), "contexts": (3,), "layers": (2,)}
"""View -> shape between the batch and the width."""


class ConformanceError(AssertionError):
    """An architecture breaks a fact of the contract."""


@dataclass(frozen=True)
class Subject:
    """An architecture under test: its class and two of its configs."""

    architecture: type[SAE]
    small: Any
    """Config with d_in 7 and n_latents 11, whose k (if any) is 2: most facts."""
    planted: Any
    """Config with d_in 32 for the planted dictionary."""
    min_recovery: float | None = 0.95
    """Fraction of planted directions to find; None for an architecture that finds none by itself (fine-tuning only)."""

    def build(self, **changes: Any) -> SAE:
        """A small SAE that has seen a sample and has biases other than zero."""
        sae = self.architecture(replace(self.small, **changes))
        sae.start(self.batch(101, sae.learns_from, part="start"))
        stream = generator(0, "biases")
        with torch.no_grad():
            for name in ("b_enc", "b_dec"):
                parameter = dict(sae.named_parameters()).get(name)
                if parameter is not None:
                    parameter += 0.05 * torch.randn(parameter.shape, generator=stream)
        return sae

    def batch(self, n: int, view: str, *, part: str = "batch") -> Tensor:
        """n random raw activations of a view, away from zero mean and unit scale."""
        shape = (n, *_VIEWS[view], self.small.d_in)
        return 3.0 * torch.randn(shape, generator=generator(0, "batch", part)) + 0.5


def subject_of(architecture: type[SAE], *, small: Any = None, planted: Any = None, min_recovery: float | None = 0.95) -> Subject:
    """The subject with the battery's sizes; pass configs where an architecture needs other settings than its defaults."""
    k = {"k": 2} if "k" in _settings(architecture) else {}
    if small is None:
        small = _config(architecture, d_in=7, n_latents=11, **k)
    if planted is None:
        # Over five seeds TopK found all with k 3 and with k 4; BatchTopK 0.95 to 1 with k 3, 0.89 to 1 with k 4.
        k = {"k": 3} if k else {}
        planted = _config(architecture, d_in=32, n_latents=128, dead_after_tokens=5_000, **k)
    return Subject(architecture, small, planted, min_recovery)


def _config(architecture: type[SAE], **settings: Any) -> SAE.Config:
    return architecture.Config(**settings)


def _settings(architecture: type[SAE]) -> set[str]:
    return {field.name for field in fields(architecture.Config)}
