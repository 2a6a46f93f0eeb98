"""Which matrix product is the fastest on this machine: measured once, in a tenth of a second, and kept in the user's cache.

On some processors MKL's float32 product is half as fast as oneDNN's, on others the reverse; some multiply bfloat16 four times as
fast as float32, others only emulate it. The two float32 products differ in their last bits, so that a run notes the one it used
and a resumed run takes it again (`taking`). What screens candidates moves no result.

Written and read here: CACHE/products-<key>.json, the key being of processor, torch and number of threads. A folder that cannot be
written is no error: the next process measures again.
"""

import contextlib
import functools
import hashlib
import json
import os
import platform
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Literal, NamedTuple, get_args

import torch
from torch.nn import functional

from monoseme.core.errors import DiskFullError
from monoseme.core.files import write_json
from monoseme.tensors.shapes import Tensor

Float32Product = Literal["onednn", "mkl"]
"""oneDNN, or what torch itself calls (MKL where it is built with it)."""
ScreenProduct = Literal["bf16", "onednn", "mkl"]

_SHAPE = (256, 512, 2048)
"""Rows, width, latents: half a billion multiplications, 1 to 3 ms on two cores."""
_ROUNDS = 7
_HOPELESS = 3.0
"""A product that takes this many times as long as the first one is tried no more."""
_WORTH = 0.9
"""A product is preferred to the usual one where it takes less than this share of its time: a busy moment decides nothing."""


class Fastest(NamedTuple):
    """The products to use on this machine."""

    float32: Float32Product
    """Of float32 matrices."""
    screen: ScreenProduct
    """To propose candidates, whose values are then computed exactly."""


class _Taken:
    """What a resumed run has put in the place of what was measured."""

    fastest: Fastest | None = None


def fastest() -> Fastest:
    """The products in force: a resumed run's, else the fastest here with as many threads as torch has now."""
    return _Taken.fastest or _known(torch.get_num_threads())


@contextlib.contextmanager
def taking(chosen: Fastest) -> Iterator[None]:
    """Puts `chosen` in force for the body, in all threads."""
    before, _Taken.fastest = _Taken.fastest, chosen
    try:
        yield
    finally:
        _Taken.fastest = before


def cache_folder() -> Path:
    """Where this user's programs keep what can be made again: XDG_CACHE_HOME, or what the system has for it."""
    if given := os.environ.get("XDG_CACHE_HOME"):
        return Path(given) / "monoseme"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "monoseme"
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", str(Path.home() / "AppData" / "Local"))) / "monoseme" / "cache"
    return Path.home() / ".cache" / "monoseme"


@functools.cache
def _known(n_threads: int) -> Fastest:
    key = {"cpu": _processor(), "torch": torch.__version__, "threads": n_threads}
    name = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:16]
    found = _read(name)
    if found is None:
        seconds = measure()
        found = decide(seconds)
        _write(name, key | found._asdict() | {"milliseconds": {product: 1e3 * s for product, s in seconds.items()}})
    return found


def decide(seconds: Mapping[str, float]) -> Fastest:
    """From the best seconds of each product: oneDNN unless it is clearly slower, bfloat16 unless float32 is clearly faster."""
    onednn, mkl, bf16 = (seconds.get(name, float("inf")) for name in ("onednn", "mkl", "bf16"))
    float32: Float32Product = "mkl" if mkl < _WORTH * onednn else "onednn"
    return Fastest(float32, float32 if min(onednn, mkl) < _WORTH * bf16 else "bf16")


@torch.no_grad()
def measure() -> dict[str, float]:
    """Best seconds of each product that this torch has, in interleaved rounds."""
    n_rows, width, n_latents = _SHAPE
    draw = torch.Generator().manual_seed(0)
    rows, latents = torch.randn(n_rows, width, generator=draw), torch.randn(n_latents, width, generator=draw)
    with torch.autocast("cpu", enabled=False):
        candidates = _products(rows, latents)
        best: dict[str, float] = {}
        for _ in range(_ROUNDS):
            for name, product in candidates.items():
                if best.get(name, 0.0) <= _HOPELESS * best.get("mkl", float("inf")):
                    best[name] = min(best.get(name, float("inf")), _seconds(product))
    return best


def _products(rows: Tensor, latents: Tensor) -> dict[str, Callable[[], Tensor]]:
    half, half_latents = rows.to(torch.bfloat16), latents.to(torch.bfloat16)
    found: dict[str, Callable[[], Tensor]] = {"mkl": lambda: rows @ latents.t(), "bf16": lambda: half @ half_latents.t()}
    if torch.backends.mkldnn.is_available():
        packed = latents.to_mkldnn()
        found["onednn"] = lambda: functional.linear(rows.to_mkldnn(), packed).to_dense()
    return found


def _seconds(product: Callable[[], Tensor]) -> float:
    began = time.perf_counter()
    product()
    return time.perf_counter() - began


def _processor() -> str:
    """The model of the CPU, as its maker calls it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _read(name: str) -> Fastest | None:
    try:
        kept = json.loads((cache_folder() / f"products-{name}.json").read_bytes())
        found = Fastest(kept["float32"], kept["screen"])
    except (OSError, RuntimeError, ValueError, KeyError, TypeError):  # none yet, no home, not readable, or not ours
        return None
    known = found.float32 in get_args(Float32Product) and found.screen in get_args(ScreenProduct)
    return found if known else None


def _write(name: str, kept: Mapping[str, object]) -> None:
    with contextlib.suppress(OSError, RuntimeError, DiskFullError):
        write_json(cache_folder() / f"products-{name}.json", kept)
