"""What decides the bits of a run besides its configuration: threads, types, library, device (and kernels, an SAE's own).

A checkpoint notes them; a resume sets back what can be set (the number of threads) and says what cannot.
"""

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from monoseme.core.display import get_display


def measure(weight: Tensor) -> dict[str, Any]:
    """The numerics in force for an SAE with such weights, as JSON-able values."""
    device = weight.device
    return {
        "threads": torch.get_num_threads(),
        "dtype": str(weight.dtype).removeprefix("torch."),
        "torch": torch.__version__,
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
    }


@contextlib.contextmanager
def taken_up(stored: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[None]:
    """For the body, as many threads as `stored` says; warns of every other difference, since it may move the last bits."""
    before = torch.get_num_threads()
    if stored["threads"] != before:
        torch.set_num_threads(stored["threads"])
        get_display().say(f"going on with {stored['threads']} threads, as the run began, not {before}")
    changed = [f"{name} was {stored[name]}, is {now[name]}" for name in now if name != "threads" and stored[name] != now[name]]
    if torch.get_num_threads() != stored["threads"]:
        changed.append(f"threads were {stored['threads']}, and this torch admits only {torch.get_num_threads()}")
    if changed:
        get_display().warn(f"the resumed run may differ in its last bits from one never stopped: {'; '.join(changed)}")
    try:
        yield
    finally:
        torch.set_num_threads(before)
