"""The first use of the loops on a machine: they are compiled, which is said, and kept for every later process.

Kept under NUMBA_CACHE_DIR where that is set, else beside the source where that folder can be written, else in the user's cache
folder, else in a folder that goes when the process does. What is kept holds for one processor, one Numba and one state of all our
loops together: Numba by itself looks only at the file a loop is in, but compiles the helpers it calls from other files into it.
"""

import contextlib
import functools
import hashlib
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numba.core.caching
import numba.core.config
from numba.core import event

from monoseme.core.display import get_display
from monoseme.kernels._measured import cache_folder
from monoseme.kernels.dispatch import Compiled

_caching: Any = numba.core.caching  # their types are guessed from bodies that only raise
_config: Any = numba.core.config

_HERE = Path(__file__).parent


def prepare() -> None:
    """From here on our loops are kept as the module says, and compiling them is told. Calling it again changes nothing."""
    _prepared()


def compiled() -> Compiled:
    """So far."""
    return Compiled(_told.n_loops, _told.seconds)


class _Told(event.Listener):
    """Says, once in a process, that loops are being compiled, and counts them: other loops, or types of vectors, than before.

    Numba compiles one at a time, helpers inside their callers.
    """

    def __init__(self) -> None:
        self.n_loops, self.seconds = 0, 0.0
        self._depth = threading.local()

    def on_start(self, event: Any) -> None:
        depth = getattr(self._depth, "n", 0)
        self._depth.n = depth + 1
        if depth == 0:
            self._depth.began = time.perf_counter()
            if _is_ours(event.data["dispatcher"].py_func) and self.n_loops == 0:
                get_display().say("compiling kernels not used on this machine before, usually in about a minute; they are kept")

    def on_end(self, event: Any) -> None:
        self._depth.n -= 1
        if self._depth.n == 0 and _is_ours(event.data["dispatcher"].py_func):
            self.n_loops += 1
            self.seconds += time.perf_counter() - self._depth.began


_told = _Told()


class _Locator(_caching._CacheLocator):
    """Where a loop of ours is kept, and what it is compared with before it is used again."""

    def __init__(self, folder: Path, line: int) -> None:
        self._folder, self._line = folder, line

    def get_cache_path(self) -> str:
        return str(self._folder)

    def get_source_stamp(self) -> str:
        return _state_of_the_loops()

    def get_disambiguator(self) -> str:
        return str(self._line)

    @classmethod
    def from_function(cls, py_func: Callable[..., Any], py_file: str) -> "_Locator | None":
        """None for what is not ours, which Numba's own locators then take."""
        if Path(py_file).parent != _HERE:
            return None
        line = py_func.__code__.co_firstlineno
        return cls(next(folder for folder in _folders() if _can_be_written(folder)), line)


@functools.cache
def _prepared() -> None:
    event.register("numba:compile", _told)
    _caching.CacheImpl._locator_classes.insert(0, _Locator)


def _is_ours(function: Callable[..., Any]) -> bool:
    return Path(function.__code__.co_filename).parent == _HERE


@functools.cache
def _state_of_the_loops() -> str:
    """Of all the source that loops may call: the files with loops, and how they are compiled."""
    sources = [path for path in sorted(_HERE.glob("*.py")) if b"_compiled" in path.read_bytes() or path.stem == "_compiled"]
    return hashlib.sha256(b"".join(path.name.encode() + path.read_bytes() for path in sources)).hexdigest()


@functools.cache
def _can_be_written(folder: Path) -> bool:
    try:
        _Locator(folder, 0).ensure_cache_path()
    except OSError:  # someone else's, or no room
        return False
    return True


def _folders() -> Iterator[Path]:
    """Where loops may be kept, best first; the last can always be written."""
    installed = hashlib.sha256(str(_HERE).encode()).hexdigest()[:12]  # file names alone do not tell two installations apart
    given: str = _config.CACHE_DIR
    if given:
        yield Path(given) / f"monoseme-{installed}"
    else:
        yield _HERE / "__pycache__"
        with contextlib.suppress(RuntimeError):  # no home
            yield cache_folder() / f"loops-{installed}"
    yield Path(_own_folder().name)


@functools.cache
def _own_folder() -> "tempfile.TemporaryDirectory[str]":
    get_display().say("compiled kernels cannot be kept: set NUMBA_CACHE_DIR to a folder that can be written")
    return tempfile.TemporaryDirectory(prefix="monoseme-")
