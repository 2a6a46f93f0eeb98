"""What a benchmark ran on."""

import importlib.metadata
import os
import platform
from pathlib import Path
from typing import Any

import torch

import monoseme

_PACKAGES = ("numpy", "numba", "transformers")


def machine_facts() -> dict[str, Any]:
    """Processor, cores, threads, versions, and what else loads the machine: JSON-able."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "wait_policy": os.environ.get("OMP_WAIT_POLICY"),
        "load_average": [round(load, 2) for load in os.getloadavg()],
        "system": platform.system(),
        "python": platform.python_version(),
        "monoseme": monoseme.__version__,
        "torch": torch.__version__,
        **{name: _version(name) for name in _PACKAGES},
    }


def use_threads(n: int | None) -> None:
    """Sets torch's number of threads for this process; None leaves it."""
    if n is not None:
        torch.set_num_threads(n)


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _processor() -> str:
    facts = Path("/proc/cpuinfo")
    if facts.is_file():
        for line in facts.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
