"""Which kernels run. The choice is resolved once, by name, and the name is stored with what it produced."""

from monoseme.core.config import suggest
from monoseme.core.errors import ConfigError
from monoseme.kernels._contract import Kernels
from monoseme.kernels.reference import ReferenceKernels
from monoseme.kernels.torch_fast import TorchKernels

_KERNELS: dict[str, Kernels] = {kernels.name: kernels for kernels in (ReferenceKernels(), TorchKernels())}


def resolve(choice: str = "auto") -> str:
    """The name of the kernel set that `choice` means here: itself, or for "auto" the fastest one. Raises ConfigError."""
    if choice == "auto":
        return TorchKernels.name
    if choice not in _KERNELS:
        allowed = ("auto", *_KERNELS)
        raise ConfigError(f'there are no kernels named "{choice}".{suggest(choice, allowed)}\n  Allowed: {", ".join(allowed)}')
    return choice


def kernels_named(name: str) -> Kernels:
    """The kernel set of a resolved name."""
    return _KERNELS[resolve(name)]
