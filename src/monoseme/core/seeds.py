"""Independent random streams from one seed: a stream is named, never shared.

`derive_seed(7, "topk", "start")` is the same on every machine and unrelated to `derive_seed(7, "topk", "shuffle")`.
"""

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def derive_seed(seed: int, *names: str | int) -> int:
    """A seed in [0, 2**63) from `seed` and the stream's `names` (BLAKE2b of their text)."""
    text = "\x1f".join([str(seed), *(f"{type(name).__name__}:{name}" for name in names)])
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") >> 1


def generator(seed: int, *names: str | int, device: "torch.device | str" = "cpu") -> "torch.Generator":
    """A torch generator on `device` for the stream of that name."""
    import torch

    return torch.Generator(device=device).manual_seed(derive_seed(seed, *names))
