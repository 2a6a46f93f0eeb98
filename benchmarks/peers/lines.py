"""What a worker speaks, in the environment of its library: JSON lines on the standard streams.

The first line is the task. For {"kind": "train", ...} the worker answers {"ready": version}, then each {"steps": n} with
{"seconds": [...]}, and {"memory": true} with {"peak_mb": ...}: the highest resident set above imports and data. For a task of
kind "e2e" it answers once, with {"seconds": ..., "version": ...}, and ends. What libraries print, some of them when they are
imported, goes to the error stream: a worker imports this module first.
"""

import importlib.metadata
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

Step = Callable[[torch.Tensor], object]

_ANSWERS = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)


def serve(package: str, train: Callable[[dict[str, Any]], Step], whole_run: Callable[[dict[str, Any]], float]) -> None:
    """Answers until the other side closes the stream."""
    task = json.loads(sys.stdin.readline())
    torch.set_num_threads(task["threads"])
    version = importlib.metadata.version(package)
    if task["kind"] == "e2e":
        _answer(seconds=whole_run(task), version=version)
        return
    batches = torch.from_numpy(np.load(task["data"])).split(task["batch"])
    base = _kilobytes("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # forgets the highest resident set so far
    step = train(task)
    _answer(ready=version)
    done = 0
    for line in sys.stdin:
        asked = json.loads(line)
        if "memory" in asked:
            _answer(peak_mb=round((_kilobytes("VmHWM") - base) * 1024e-6, 1))
            continue
        seconds: list[float] = []
        for _ in range(asked["steps"]):
            began = time.perf_counter()
            step(batches[done % len(batches)])
            seconds.append(time.perf_counter() - began)
            done += 1
        _answer(seconds=seconds)


def _answer(**values: Any) -> None:
    _ANSWERS.write(json.dumps(values) + "\n")
    _ANSWERS.flush()


def _kilobytes(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))
