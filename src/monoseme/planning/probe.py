"""A short run of the same code, in a process of its own, whose speed and memory stand for those of the whole run.

The parent starts `python -m monoseme.planning._probe_run TASK.json`, looks at the child's memory every few milliseconds, and
reads what the child wrote when it is done. The probe works in a folder beside the run's own, on the same disk, and leaves
nothing.
"""

import contextlib
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from monoseme.core.display import get_display
from monoseme.core.errors import ConfigError
from monoseme.core.memory import memory_bytes_of

UNPROBED = "the plan was made without a probe"
_POLL_SECONDS = 0.005
_COMPILED_SECONDS = 0.5
"""A probe that compiled for longer is taken once more: compiling holds time and memory that a later run does not need."""


class ProbeResult(NamedTuple):
    """What the child told, and what was seen of it."""

    facts: dict[str, Any] | None
    """As `_probe_run` writes them; None where it did not come to its end."""
    peak_bytes: float | None
    """The most memory of its own that the child held; None where the system does not tell."""
    why_missing: str
    """Why there are no facts; empty where there are."""


def run_probe(task: Mapping[str, Any], *, beside: Path) -> ProbeResult:
    """Runs the task in a folder beside `beside`. Raises ConfigError with the child's message where the user can mend it."""
    nearest = next(folder for folder in beside.absolute().parents if folder.is_dir())
    with _scratch(nearest) as folder:
        answer, errors = folder / "answer.json", folder / "errors.txt"
        (folder / "task.json").write_text(json.dumps({**task, "folder": str(folder / "run"), "answer": str(answer)}))
        with errors.open("wb") as sink:
            command = [sys.executable, "-m", "monoseme.planning._probe_run", str(folder / "task.json")]
            child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=sink)
            peak = _watch(child)
        return told(answer, errors, code=child.returncode, peak_bytes=peak)


def told(answer: Path, errors: Path, *, code: int, peak_bytes: float | None) -> ProbeResult:
    """What a child that ended with `code` wrote. Raises ConfigError with its message where the user can mend it."""
    said = json.loads(answer.read_text()) if answer.is_file() else {}
    if "refused" in said:
        raise ConfigError(said["refused"])
    if code == 0 and said:
        return ProbeResult(said, peak_bytes, "")
    return ProbeResult(None, peak_bytes, _why(code, errors.read_text(errors="replace")))


class WarmProbe(NamedTuple):
    """A probe whose kernels were compiled already."""

    result: ProbeResult
    compiling_bytes: float | None
    """What the probe before it held, which compiled them; None where none had to."""


def probed_warm(task: Mapping[str, Any], *, beside: Path) -> WarmProbe:
    """Runs the task, and once more if that compiled kernels. Raises what `run_probe` raises."""
    result = run_probe(task, beside=beside)
    if result.facts is None or result.facts["compiled_seconds"] < _COMPILED_SECONDS:
        return WarmProbe(result, None)
    get_display().say(f"compiled kernels in {result.facts['compiled_seconds']:.0f} s; probing again without")
    return WarmProbe(run_probe(task, beside=beside), result.peak_bytes)


@contextlib.contextmanager
def _scratch(folder: Path) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix=".monoseme-probe-", dir=folder, ignore_cleanup_errors=True) as made:
        yield Path(made)


def _watch(child: subprocess.Popen[bytes]) -> float | None:
    """Waits for the child's end; the most memory that it was seen to hold (bytes). A Ctrl-C here ends the child, too."""
    peak = 0
    try:
        while child.poll() is None:
            peak = max(peak, memory_bytes_of(child.pid) or 0)
            time.sleep(_POLL_SECONDS)
    finally:
        if child.poll() is None:
            child.kill()
            child.wait()
    return peak or None


def _why(code: int, errors: str) -> str:
    if code == -9:
        return "the probe was killed by the system (signal 9), most likely for want of memory"
    last = errors.strip().splitlines()[-1:] or [f"exit code {code}"]
    return f"the probe failed: {last[0]}"
