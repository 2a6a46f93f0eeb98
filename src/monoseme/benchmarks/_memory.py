"""Peak memory of one contestant by itself: a process of its own takes a few steps, and tells what they added.

    python -m monoseme.benchmarks._memory TASK.json

The base line is the process with its imports, the data, and the code of the kernels compiled or loaded: steps of the same kind at
a tiny size come first. What is told is the highest resident set after that less the base line, in MB (10^6 bytes).
"""

import contextlib
import ctypes
import gc
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import torch

from monoseme.benchmarks._data import synthetic_activations
from monoseme.benchmarks._own import DenseStep, OwnStep, Task
from monoseme.benchmarks._sizes import Sizes, sizes_named

_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
_N_STEPS = 3


def peak_memory_mb(task: Task, *, dense: bool, threads: int) -> float | None:
    """MB above imports and data, from a process of its own; None where the system does not tell (not Linux)."""
    if not _STATUS.is_file() or not os.access(_CLEAR, os.W_OK):
        return None
    plain = {setting.name: getattr(task, setting.name) for setting in fields(task)}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "task.json"
        file.write_text(json.dumps({"task": plain, "dense": dense, "threads": threads}))
        command = [sys.executable, "-m", "monoseme.benchmarks._memory", str(file)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(done.stdout)


def main() -> None:
    """The child."""
    said = json.loads(Path(sys.argv[1]).read_text())
    torch.set_num_threads(said["threads"])
    task = _task(said["task"])
    kind = DenseStep if said["dense"] else OwnStep
    _steps(kind, replace(task, sizes=sizes_named("tiny")))
    batches = task.batches(synthetic_activations(2 * task.sizes.batch, task.sizes.d_model))
    gc.collect()
    _return_freed_memory()
    base = _kilobytes("VmRSS")
    _CLEAR.write_text("5")  # forgets the highest resident set so far
    contestant = kind(task, batches)
    for _ in range(_N_STEPS):
        contestant()
    sys.stdout.write(f"{(_kilobytes('VmHWM') - base) * 1024e-6:.1f}\n")


def _return_freed_memory() -> None:
    """What making the data left in the allocator would be used again, and so not be counted. Without glibc nothing is done."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").malloc_trim(0)


def _steps(kind: type[DenseStep] | type[OwnStep], task: Task) -> None:
    contestant = kind(task, task.batches(synthetic_activations(task.sizes.batch, task.sizes.d_model)))
    for _ in range(2):
        contestant()


def _task(plain: dict[str, Any]) -> Task:
    settings = tuple((name, value) for name, value in plain.pop("settings"))
    sizes = Sizes(*plain.pop("sizes"))
    return Task(sizes=sizes, settings=settings, **plain)


def _kilobytes(name: str) -> int:
    return next(int(line.split()[1]) for line in _STATUS.read_text().splitlines() if line.startswith(f"{name}:"))


if __name__ == "__main__":
    main()
