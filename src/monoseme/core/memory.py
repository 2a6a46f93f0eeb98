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


def memory_bytes_of(pid: int) -> int | None:
    """Bytes that any process holds of its own (RssAnon; not on Linux: all that is resident); None where it has ended."""
    if _STATUS.is_file():
        try:
            lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        except (FileNotFoundError, ProcessLookupError):
            return None
        return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon:")), None)
    import psutil

    try:
        return int(psutil.Process(pid).memory_info().rss)
    except psutil.NoSuchProcess:
        return None
