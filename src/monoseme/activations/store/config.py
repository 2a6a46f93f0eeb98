"""How activations are kept on disk."""

from dataclasses import dataclass
from typing import Literal

from monoseme.core.errors import ConfigError

StoredDtype = Literal["float32", "bfloat16", "float16", "int8"]
BYTES: dict[StoredDtype, int] = {"float32": 4, "bfloat16": 2, "float16": 2, "int8": 1}
"""Bytes of a stored number; int8 also has a float32 scale for each row."""


@dataclass(frozen=True, kw_only=True)
class StorageConfig:
    """How an `activations` artifact keeps its vectors."""

    dtype: StoredDtype = "bfloat16"
    """Type of the stored numbers: bfloat16 halves the disk of float32, int8 with a scale for each row quarters it. How far off
    each is, is measured on what is stored and kept with it."""
    shard_bytes: int = 1 << 28
    """About how much text and vectors, of all sites together, make a shard (bytes): what a kill can cost, and what is checked
    and fetched as one."""
    max_bytes: int | None = None
    """Capture ends before the store would be larger (bytes; whole shards). None: no limit."""

    def __post_init__(self) -> None:
        """Raises ConfigError for sizes below 1."""
        if self.dtype not in BYTES:
            raise ConfigError(f'no type "{self.dtype}" for stored activations.\n  Allowed: {", ".join(BYTES)}')
        if self.shard_bytes < 1:
            raise ConfigError(f"shard_bytes is {self.shard_bytes}; it must be at least 1")
        if self.max_bytes is not None and self.max_bytes < 1:
            raise ConfigError(f"max_bytes is {self.max_bytes}; it must be at least 1, or left out")
