"""Whether files are what was written: sizes and checksums, several files at once, here or at an address."""

import contextlib
import hashlib
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import Any

from monoseme.core.display import Progress, SilentDisplay, get_display
from monoseme.core.errors import ArtifactDamagedError, ArtifactError
from monoseme.core.files import typed
from monoseme.core.folder import Folder

_N_AT_ONCE = 4
"""Files read side by side: hashing leaves Python's lock, and an address answers slowly but many at once."""
_CHUNK_BYTES = 1 << 24
_MB = 1_000_000
_SHOWN_FROM_BYTES = 100 * _MB


def hash_in(folder: Folder, name: str) -> str:
    """`sha256:` and the digest of a file. Raises ArtifactMissingError; ArtifactDamagedError if it is cut meanwhile."""
    digest, n_bytes = hashlib.sha256(), folder.size(name) or 0
    for start in range(0, n_bytes, _CHUNK_BYTES):
        digest.update(folder.read(name, start, min(start + _CHUNK_BYTES, n_bytes)))
    return f"sha256:{digest.hexdigest()}"


def find_damage(folder: Folder, files: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """A line for each file that is missing, of another size or of other content; empty when all are sound.

    `files` is name -> {"hash": "sha256:...", "bytes": n} as in a manifest ("bytes" may be left out). Shows progress where there
    is much to read. Raises AddressError where an address cannot be reached: that says nothing of the files.
    """
    sizes = folder.sizes()
    problems = {name: problem for name, facts in files.items() if (problem := _by_size(sizes.get(name), facts))}
    whole = {name: sizes[name] for name in files if name not in problems}
    with _progress(sum(whole.values())) as bar:
        n_bytes = 0
        for name, digest in _hashes(folder, whole):
            if digest != files[name]["hash"]:
                problems[name] = "content differs from its checksum"
            before, n_bytes = n_bytes, n_bytes + whole[name]
            bar.advance(n_bytes // _MB - before // _MB)
    return [f"{name}: {problems[name]}" for name in files if name in problems]


def require_sound(folder: Folder, files: Mapping[str, Mapping[str, Any]]) -> None:
    """Raises ArtifactDamagedError with a line for each of the files that `find_damage` finds fault with."""
    problems = find_damage(folder, files)
    if problems:
        lines = "\n  ".join([f"{folder} is damaged:", *problems])
        raise ArtifactDamagedError(f"{lines}\n  See what else is wrong with:  monoseme check {typed(str(folder))}")


def _by_size(n_bytes: int | None, facts: Mapping[str, Any]) -> str | None:
    if n_bytes is None:
        return "missing"
    if n_bytes != facts.get("bytes", n_bytes):
        return f"{n_bytes:,} bytes instead of {facts['bytes']:,}"
    return None


def _hashes(folder: Folder, names: Iterable[str]) -> Iterator[tuple[str, str | None]]:
    """Each file with its digest as they are done; None for one that can no longer be read."""
    with ThreadPoolExecutor(_N_AT_ONCE, thread_name_prefix="check") as pool:
        hashing = {pool.submit(_hash_or_none, folder, name): name for name in names}
        try:
            for done in as_completed(hashing):
                yield hashing[done], done.result()
        finally:
            pool.shutdown(cancel_futures=True)  # an interrupt does not wait for files that nobody asks for any more


def _hash_or_none(folder: Folder, name: str) -> str | None:
    try:
        return hash_in(folder, name)
    except ArtifactError:
        return None


@contextlib.contextmanager
def _progress(n_bytes: int) -> Iterator[Progress]:
    display = get_display() if n_bytes >= _SHOWN_FROM_BYTES else SilentDisplay()
    with display.progress("check", total=n_bytes // _MB, unit="MB") as bar:
        yield bar
