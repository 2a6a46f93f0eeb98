"""What is in a file of tensors, by name: many tools keep an SAE in one `.pt`, which only its keys tell apart."""

import functools
from pathlib import Path

from monoseme.core.errors import MonosemeError
from monoseme.tensors.foreign_file import load_plain


def keys_of(path: Path | None) -> frozenset[str]:
    """The names in the table that a file holds; empty for a file that holds none, is broken or not there. Never raises.

    Files are mapped, so that tensors are not read.
    """
    if path is None:
        return frozenset()
    try:
        found = path.stat()
    except (OSError, ValueError):
        return frozenset()
    return _keys(path, found.st_size, found.st_mtime_ns)


@functools.lru_cache(maxsize=64)
def _keys(path: Path, size: int, changed_ns: int) -> frozenset[str]:
    """Kept while the file stays the same: each format asks."""
    del size, changed_ns
    try:
        return frozenset(load_plain(path))
    except (MonosemeError, RecursionError):
        return frozenset()
