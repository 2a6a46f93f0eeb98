"""What the conformance battery is run on: an architecture, and configs of it in the battery's sizes."""

from dataclasses import dataclass, fields, replace
from typing import Any

import torch

from monoseme.core.seeds import generator
from monoseme.saes._base import SAE
from monoseme.tensors.shapes import Tensor

_CONTEXT_LENGTH = 3


class ConformanceError(AssertionError):
    """An architecture breaks a fact of the contract."""


@dataclass(frozen=True)
class Subject:
    """An architecture under test: its class and two of its configs."""

    architecture: type[SAE]
    small: Any
    """Config with d_in 7 and n_latents 11, whose k (if any) is 2 and n_sites (if any) 2: most facts."""
    planted: Any
    """Config with d_in 32 for the planted dictionary."""
    min_recovery: float | None = 0.95
    """Fraction of planted directions to find; None for an architecture that finds none by itself (fine-tuning only)."""
    planted_steps: int = 1_200
    """Steps of 512 rows in which it finds them."""
    planted_lr: float = 5e-3
    """Learning rate of those steps: twice it takes half the steps, and finds fewer of some architectures."""

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
        between = {"tokens": (), "pairs": (2,), "contexts": (_CONTEXT_LENGTH,), "layers": (self.n_sites,)}[view]
        shape = (n, *between, self.small.d_in)
        return 3.0 * torch.randn(shape, generator=generator(0, "batch", part)) + 0.5

    def reading(self, n: int, *, part: str = "batch") -> Tensor:
        """n items as `encode` takes them."""
        if self.n_sites == 1:
            return self.batch(n, self.architecture.reads, part=part)
        return self.architecture.in_out(self.batch(n, "layers", part=part)).x

    @property
    def n_sites(self) -> int:
        """Sites of the small config."""
        return sites_of(self.small)


def subject_of(architecture: type[SAE], *, small: Any = None, planted: Any = None, **more: Any) -> Subject:
    """The subject with the battery's sizes; pass configs where an architecture needs other settings than its defaults.

    `more`: min_recovery, planted_steps and planted_lr of the subject.
    """
    known = _settings(architecture)
    sites = {"n_sites": 2} if "n_sites" in known else {}
    if small is None:
        small = _config(architecture, d_in=7, n_latents=11, **sites, **({"k": 2} if "k" in known else {}))
    if planted is None:
        # Over five seeds TopK found all with k 3 and with k 4; BatchTopK 0.95 to 1 with k 3, 0.89 to 1 with k 4.
        k = {"k": 3} if "k" in known else {}
        planted = _config(architecture, d_in=32, n_latents=128, dead_after_tokens=5_000, **sites, **k)
    return Subject(architecture, small, planted, **more)


def sites_of(config: SAE.Config) -> int:
    """How many sites an SAE of that config learns from."""
    return next((int(getattr(config, f.name)) for f in fields(config) if f.name == "n_sites"), 1)


def _config(architecture: type[SAE], **settings: Any) -> SAE.Config:
    return architecture.Config(**settings)


def _settings(architecture: type[SAE]) -> set[str]:
    return {field.name for field in fields(architecture.Config)}
