"""What the machine has: free memory, free disk, and how fast the disk takes what is written."""

import os
import shutil
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch

from monoseme.planning.config import PlanConfig
from monoseme.planning.figure import Figure
from monoseme.planning.parts import HOST

_PIECE = 1 << 22
_TEST_BYTES = 1 << 26
_CGROUP = Path("/sys/fs/cgroup")


class Resources(NamedTuple):
    """What a run may take (bytes)."""

    memory: float | None
    """Of this machine, for one process; None where it does not tell."""
    devices: dict[str, float | None]
    """Of each accelerator by name; None for one that is not here."""
    disk: float | None
    """Where the run is written; None at an address."""

    def of(self, device: str) -> float | None:
        """Free bytes of a device, the machine's own being the "cpu"."""
        return self.memory if device == HOST else self.devices[device]

    def left(self, device: str, peak: Figure) -> float | None:
        """What remains beside a peak, below zero where that is too much; None where either is not known."""
        most = self.of(device)
        return None if most is None or peak.value is None else most - peak.value

    @property
    def absent(self) -> str | None:
        """The first accelerator that is not in this machine."""
        return next((device for device in self.devices if free_of(device) is None), None)


def find_resources(plan: PlanConfig, *, out: Path | None, accelerators: Sequence[str]) -> Resources:
    """What is free here, or what `plan` says there is. `out` None: the run is written to an address."""
    given = None if plan.memory_gb is None else plan.memory_gb * 1e9
    disk = None if out is None else float(shutil.disk_usage(nearest_folder(out)).free)
    return Resources(
        memory=given if given is not None and not accelerators else free_memory(),
        devices={name: free_of(name) if given is None else given for name in accelerators},
        disk=disk if plan.disk_gb is None else plan.disk_gb * 1e9,
    )


def free_of(device: str) -> float | None:
    """Free memory of a CUDA device (bytes); None for one that is not here."""
    index = torch.device(device).index or 0
    return float(torch.cuda.mem_get_info(index)[0]) if index < torch.cuda.device_count() else None


def nearest_folder(path: Path) -> Path:
    """The folder itself, or the nearest one above that is there."""
    place = path.absolute()
    return next(folder for folder in (place, *place.parents) if folder.is_dir())


def free_memory() -> float:
    """What a new process can have (bytes): what the system says is available, and no more than its control group leaves."""
    import psutil

    free = float(psutil.virtual_memory().available)
    limit, used = _number(_CGROUP / "memory.max"), _number(_CGROUP / "memory.current")
    return free if limit is None or used is None else min(free, limit - used)


def _number(file: Path) -> float | None:
    try:
        return float(file.read_text())
    except (OSError, ValueError):  # no such group, or "max"
        return None


def write_speed(folder: Path) -> float:
    """Bytes per second that the disk of a folder takes, flushed: 64 MB are written and removed."""
    piece = os.urandom(_PIECE)
    with tempfile.TemporaryFile(dir=nearest_folder(folder)) as file:
        began = time.perf_counter()
        for _ in range(_TEST_BYTES // _PIECE):
            file.write(piece)
        file.flush()
        os.fsync(file.fileno())
        return _TEST_BYTES / max(time.perf_counter() - began, 1e-9)
