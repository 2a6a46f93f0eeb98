"""How probes are trained."""

from dataclasses import dataclass
from typing import Literal

from monoseme.core.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class ProbeTraining:
    """The schedule of Chanin et al. 2024 (arXiv:2409.14507) and its code, `train_multi_probe`."""

    n_epochs: int = 100
    """Times that all examples are seen (count)."""
    batch_size: int = 4096
    """Examples of a step (count)."""
    lr: float = 0.01
    """Learning rate of the first epoch; it falls by one factor from epoch to epoch."""
    last_lr: float = 1e-5
    """Learning rate that the epoch after the last would have."""
    optimiser: Literal["adam", "adamw", "sgd"] = "adam"
    """Which rule takes the steps."""
    weight_decay: float = 1e-6
    """Of the optimiser: the L2 penalty of the weights and biases, or for adamw their decay."""
    l1: float = 0.0
    """Times the L1 norm of a class's weights, mean over classes, is added to the loss."""
    balanced: bool = True
    """Let the positives of each class weigh as much as its negatives."""
    zero_bias: bool = False
    """Keep the biases at 0."""
    seed: int = 42
    """Of the order of the examples."""

    def __post_init__(self) -> None:
        for name in ("n_epochs", "batch_size"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}; it must be at least 1")
        if not 0 < self.last_lr <= self.lr:
            raise ConfigError(f"last_lr is {self.last_lr} and lr {self.lr}; they must be above 0, the last at most the first")
        for name in ("weight_decay", "l1"):
            if getattr(self, name) < 0:
                raise ConfigError(f"{name} is {getattr(self, name)}; it must be at least 0")

    def lr_of(self, epoch: int) -> float:
        """Learning rate of an epoch, counted from 0."""
        return self.lr * (self.last_lr / self.lr) ** (epoch / self.n_epochs)


BINARY = ProbeTraining(batch_size=256)
"""Of a single class, as the original's `train_binary_probe`."""
SPARSE = ProbeTraining(n_epochs=50, l1=0.01)
"""Of latents, as the original's `train_sparse_multi_probe`: what the L1 penalty leaves tells which latents matter."""
