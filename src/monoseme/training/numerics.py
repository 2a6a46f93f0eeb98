"""What decides the bits of a run besides its configuration: threads, types, products, library, device, and each SAE's kernels.

A checkpoint notes them; a resume sets back what can be set (threads, kernels, the float32 product) and says what cannot.
"""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from monoseme.core.display import get_display
from monoseme.kernels import Fastest, fastest, taking, why_not
from monoseme.saes import SAE
from monoseme.tensors.processes import Mesh

_SET_BACK = ("threads", "float32_product")
_MOVES_NOTHING = ("screen_product",)
"""Noted for who reads it: what screens candidates changes no result."""


def measure(weight: Tensor, mesh: Mesh) -> dict[str, Any]:
    """The numerics in force for an SAE with such weights, as JSON-able values."""
    device = weight.device
    known = {
        "threads": torch.get_num_threads(),
        "dtype": str(weight.dtype).removeprefix("torch."),
        "torch": torch.__version__,
        "processes": str(mesh),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
    }
    if device.type == "cpu":
        products = fastest()
        known |= {"float32_product": products.float32, "screen_product": products.screen}
    return known


@contextlib.contextmanager
def taken_up(stored: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[None]:
    """For the body, threads and float32 product as `stored` says; warns of other differences, which may move the last bits.

    What an older checkpoint did not note counts as no difference.
    """
    before = torch.get_num_threads()
    as_many = stored.get("processes", now["processes"]) == now["processes"]
    if stored["threads"] != before and as_many:  # more processes have fewer threads each
        torch.set_num_threads(stored["threads"])
        get_display().say(f"going on with {stored['threads']} threads, as the run began, not {before}")
    if not as_many:
        get_display().say(
            f"going on with {now['processes']} processes (rows x latents), not {stored['processes']} as the run began: "
            "the same data, the same numbers to rounding"
        )
    left = [name for name in now if name in stored and name not in (*_SET_BACK, *_MOVES_NOTHING, "processes")]
    changed = [f"{name} was {stored[name]}, is {now[name]}" for name in left if stored[name] != now[name]]
    if torch.get_num_threads() != stored["threads"] and as_many:
        changed.append(f"threads were {stored['threads']}, and this torch admits only {torch.get_num_threads()}")
    if changed:
        get_display().warn(f"the resumed run may differ in its last bits from one never stopped: {'; '.join(changed)}")
    try:
        with _product_taken_up(stored, now):
            yield
    finally:
        torch.set_num_threads(before)


@contextlib.contextmanager
def _product_taken_up(stored: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[None]:
    """The float32 product that the run began with, in place of the one measured here."""
    began, here = stored.get("float32_product"), now.get("float32_product")
    if began is None or here is None or began == here:
        yield
        return
    get_display().say(f"going on with the float32 product of {began}, as the run began, not {here}")
    with taking(Fastest(began, now["screen_product"])):
        yield


def take_up_kernels(saes: Sequence[SAE], stored: Sequence[str]) -> None:
    """Gives each SAE the kernels it began with, unless the user named others or they cannot run here, which is warned of."""
    kept: set[str] = set()
    changed: set[str] = set()
    for sae, began in zip(saes, stored, strict=True):
        now, reason = sae.kernel_name, why_not(began, sae.input_factor.device)
        if now == began:
            continue
        if sae.kernel_choice != "auto":
            changed.add(f"{began} kernels were used, {now} kernels are asked for")
        elif reason is not None:
            changed.add(f"{began} kernels were used, {now} kernels are now: {reason}")
        else:
            sae.use_kernels(began)
            kept.add(f"going on with {began} kernels, as the run began, not {now}")
    for line in sorted(kept):
        get_display().say(line)
    if changed:
        get_display().warn(f"the resumed run may differ in its last bits from one never stopped: {'; '.join(sorted(changed))}")
