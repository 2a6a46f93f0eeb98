"""What torchrun (or a Slurm script) says of this process in its environment, read without torch.

RANK, WORLD_SIZE                which process this is, and of how many
LOCAL_RANK, LOCAL_WORLD_SIZE    the same on this machine
MASTER_ADDR, MASTER_PORT        where they find each other
"""

import os
from collections.abc import Mapping, MutableMapping
from typing import NamedTuple

from monoseme.core.errors import ConfigError


class Launch(NamedTuple):
    """One of several processes that were started together."""

    rank: int
    """Which one, in [0, size)."""
    size: int
    local_rank: int
    """Which one on this machine."""
    local_size: int
    """How many run on this machine."""
    host: str
    """Machine of the first process."""
    port: int


def launched(environment: Mapping[str, str]) -> Launch | None:
    """How this process was started; None for one by itself. Raises ConfigError for an environment that is only half set."""
    if int(environment.get("WORLD_SIZE", "1")) <= 1:
        return None
    lacking = [name for name in ("RANK", "MASTER_ADDR", "MASTER_PORT") if name not in environment]
    if lacking:
        raise ConfigError(
            f"WORLD_SIZE is {environment['WORLD_SIZE']}, but {', '.join(lacking)} is not set.\n"
            "  Start with torchrun, or as examples/slurm_train.sbatch does; for one process unset WORLD_SIZE."
        )
    return Launch(
        rank=int(environment["RANK"]),
        size=int(environment["WORLD_SIZE"]),
        local_rank=int(environment.get("LOCAL_RANK", environment["RANK"])),
        local_size=int(environment.get("LOCAL_WORLD_SIZE", environment["WORLD_SIZE"])),
        host=environment["MASTER_ADDR"],
        port=int(environment["MASTER_PORT"]),
    )


def share_cores(launch: Launch, environment: MutableMapping[str, str]) -> None:
    """Gives each process of this machine its part of the cores, unless OMP_NUM_THREADS says otherwise. Before torch loads.

    torchrun sets OMP_NUM_THREADS to 1 where the user has not set it: that 1 counts as not set.
    """
    said = environment.get("OMP_NUM_THREADS")
    if said is None or (said == "1" and "TORCHELASTIC_RUN_ID" in environment):
        environment["OMP_NUM_THREADS"] = str(max(1, _n_cores() // launch.local_size))


def _n_cores() -> int:
    """Those that this process may use, where the system tells."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on macOS and Windows
        return os.cpu_count() or 1
