"""Stored activations: what storing costs beside the bare forward passes, and how fast rows come back.

Three parts. *Capture*: all layers of a model over a text into a store, against the same batches through the model alone.
*Reader*: shuffled float32 rows from stores of each type, in GB/s of what is delivered. *Live*: the same stream of batches from a
store and from the model itself. Every part visits its contestants in turn; the ratio is of best visits.
"""

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from monoseme.activations.store.config import StoredDtype
from monoseme.benchmarks._machine import machine_facts, use_threads
from monoseme.benchmarks._store_capture import time_capture
from monoseme.benchmarks._store_reader import time_live, time_reader
from monoseme.core.errors import ConfigError

_PARTS = ("capture", "reader", "live")


@dataclass(frozen=True, kw_only=True)
class StoreBench:
    """What is timed, and how long."""

    parts: tuple[str, ...] = _PARTS
    """Of capture, reader, live."""
    models: tuple[str, ...] = ("bundled",)
    """Models of the capture and the live stream: folders, or "bundled"."""
    corpus: str = "bundled"
    """Text of the capture: "bundled", a file or a folder."""
    tokens: int = 2_000_000
    """Of the capture (count)."""
    live_tokens: int = 200_000
    """Of the live stream and the store beside it (count)."""
    width: int = 512
    """D of the rows that are read."""
    rows: int = 1_000_000
    """Of the store that is read (count)."""
    dtypes: tuple[StoredDtype, ...] = ("float32", "bfloat16", "int8")
    """Types of the stores that are read."""
    rounds: int = 3
    """Visits of each contestant (count)."""
    threads: int | None = None
    """Of torch. None: torch's own number."""
    folder: Path | None = None
    """Where stores are written, and deleted again. None: the system's folder for temporary files."""

    def __post_init__(self) -> None:
        """Raises ConfigError for sizes below 1 and for parts and types that do not exist."""
        least = min(self.tokens, self.live_tokens, self.width, self.rows, self.rounds)
        if least < 1 or (self.threads is not None and self.threads < 1):
            raise ConfigError("tokens, live_tokens, width, rows, rounds and threads must be at least 1")
        if not self.parts or any(part not in _PARTS for part in self.parts):
            raise ConfigError(f"parts are {self.parts}.\n  Allowed: {', '.join(_PARTS)}")
        if any(dtype not in get_args(StoredDtype) for dtype in self.dtypes):
            raise ConfigError(f"dtypes are {self.dtypes}.\n  Allowed: {', '.join(get_args(StoredDtype))}")


def bench_store(bench: StoreBench) -> dict[str, Any]:
    """An entry for each part asked for; JSON-able."""
    use_threads(bench.threads)
    found: dict[str, Any] = {"benchmark": "store"}
    with tempfile.TemporaryDirectory(prefix="monoseme-bench-", dir=bench.folder) as name:
        place = Path(name)
        if "capture" in bench.parts:
            found["capture"] = [
                time_capture(model, bench.corpus, place, n_tokens=bench.tokens, rounds=bench.rounds) for model in bench.models
            ]
        if "reader" in bench.parts:
            found["reader"] = time_reader(place, dtypes=bench.dtypes, width=bench.width, n_rows=bench.rows, rounds=bench.rounds)
        if "live" in bench.parts:
            found["live"] = [
                time_live(model, bench.corpus, place, n_tokens=bench.live_tokens, rounds=bench.rounds) for model in bench.models
            ]
    return found | {"machine": machine_facts()}
