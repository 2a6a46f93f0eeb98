"""Which kernels run: a choice is kept, and means a set by the device of the weights, the first that can run there.

    reference   dense and obvious; only by name
    torch       plain torch operations, on any device
    numba       loops compiled for this processor; what "auto" means on a CPU
    triton      kernels of a CUDA device; what "auto" means there

Numba and Triton are imported when an SAE first needs its kernels, not before.
"""

import contextlib
import functools
import importlib
import os
from collections.abc import Iterator
from contextvars import ContextVar
from typing import NamedTuple, cast

import torch

from monoseme.core.config import suggest
from monoseme.core.errors import ConfigError
from monoseme.kernels._contract import Kernels


class _Home(NamedTuple):
    """Where a set lives."""

    module: str
    name: str
    device: str | None = None
    """The only kind of device it has loops for; None: any."""
    package: str | None = None
    """What must be installed."""


_HOMES = {
    "reference": _Home("monoseme.kernels.reference", "ReferenceKernels"),
    "torch": _Home("monoseme.kernels.torch_fast", "TorchKernels"),
    "numba": _Home("monoseme.kernels.cpu", "NumbaKernels", device="cpu", package="numba"),
    "triton": _Home("monoseme.kernels.gpu", "TritonKernels", device="cuda", package="triton"),
}
_ALLOWED = ("auto", *_HOMES)
_FASTEST = {"cpu": "numba", "cuda": "triton"}


class Compiled(NamedTuple):
    """Loops that were compiled, as nothing was kept of them."""

    n_loops: int
    seconds: float


_choice: ContextVar[str] = ContextVar("kernels", default="auto")


def resolve(choice: str = "auto", device: torch.device | str = "cpu") -> str:
    """The name of the set that `choice` means for weights on `device`: itself, or for "auto" the fastest that runs there.

    Raises ConfigError for a name there is not, and for a set that cannot run here, with what it lacks.
    """
    kind = torch.device(device).type
    if choice == "auto":
        fastest = _FASTEST.get(kind, "torch")
        return fastest if why_not(fastest, kind) is None else "torch"
    if choice not in _HOMES:
        raise ConfigError(f'there are no kernels named "{choice}".{suggest(choice, _ALLOWED)}\n  Allowed: {", ".join(_ALLOWED)}')
    if reason := why_not(choice, kind):
        raise ConfigError(f"the {choice} kernels cannot run here: {reason}")
    return choice


def why_not(name: str, device: torch.device | str = "cpu") -> str | None:
    """What keeps the set of that name from running on `device`, and what to do about it; None if it can."""
    home, kind = _HOMES[name], torch.device(device).type
    if home.device is not None and home.device != kind and not (name == "triton" and _interpreted()):
        return (
            f"they are for {home.device}, and the weights are on {kind}.\n  Take auto, which means {resolve('auto', kind)} there."
        )
    loaded = _loaded(name)
    return loaded if isinstance(loaded, str) else None


def kernels_named(name: str) -> Kernels:
    """The set of a name, whatever the device; for "auto", the one for a CPU. Raises ConfigError."""
    name = resolve(name) if name not in _HOMES else name
    loaded = _loaded(name)
    if isinstance(loaded, str):
        raise ConfigError(f"the {name} kernels cannot run here: {loaded}")
    return loaded


def default_choice() -> str:
    """What a new SAE begins with: "auto", or what `choose_kernels` has put in force."""
    return _choice.get()


@contextlib.contextmanager
def choose_kernels(choice: str) -> Iterator[None]:
    """SAEs that are made or opened in the body use these kernels. Raises ConfigError for a name there is not."""
    if choice not in _ALLOWED:
        resolve(choice)
    token = _choice.set(choice)
    try:
        yield
    finally:
        _choice.reset(token)


def compiled_so_far() -> Compiled:
    """What this process had to compile before its loops could run. Imports Numba."""
    from monoseme.kernels._first_use import compiled

    return compiled()


@functools.cache
def _loaded(name: str) -> Kernels | str:
    """The set, or why it cannot be had."""
    home = _HOMES[name]
    try:
        made = getattr(importlib.import_module(home.module), home.name)()
    except ImportError as error:
        if home.package is None or (error.name or "").startswith("monoseme"):  # our own mistake
            raise
        return f"{error}.\n  Install what is missing with:  pip install {home.package}"
    return cast(Kernels, made)


def _interpreted() -> bool:
    """Whether Triton runs its kernels in Python, on any device."""
    return os.environ.get("TRITON_INTERPRET") == "1"
