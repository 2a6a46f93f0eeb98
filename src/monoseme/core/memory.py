"""How much memory this process holds of its own."""

from pathlib import Path

_STATUS = Path("/proc/self/status")


def own_memory_mb() -> float:
    """Anonymous resident memory in MB (RssAnon): what was allocated, without files that are merely mapped.

    Where the kernel does not tell (not Linux), the resident set size, which counts mapped files too.
    """
    if _STATUS.is_file():
        for line in _STATUS.read_text().splitlines():
            if line.startswith("RssAnon:"):
                return int(line.split()[1]) / 1000
    import psutil

    return psutil.Process().memory_info().rss / 1e6
