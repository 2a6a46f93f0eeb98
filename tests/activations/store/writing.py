"""Small stores, and what of their bytes is content."""

import json
from pathlib import Path
from typing import Any

from tests.activations.store.supplies import FakeSupply

from monoseme.activations.store.config import StorageConfig
from monoseme.activations.store.writer import StoreSummary, write_store
from monoseme.core.folder import LocalFolder

SMALL = StorageConfig(dtype="float32", shard_bytes=7000)
"""Two blocks to a shard."""


def write_small(
    path: Path, supply: FakeSupply | None = None, storage: StorageConfig = SMALL, *, resume: bool = False, **options: Any
) -> StoreSummary:
    return write_store(
        LocalFolder(path),
        supply or FakeSupply(),
        storage,
        config=options.pop("config", {"model": "fake"}),
        inputs={"model": "sha256:m", "text": lambda: "sha256:t"},
        resume=resume,
        **options,
    )


def bytes_of(path: Path) -> dict[str, bytes]:
    """Every file, hidden ones too; the manifest without what is no part of the content."""
    found = files_of(path)
    if "manifest.json" in found:
        manifest = {k: v for k, v in json.loads(found["manifest.json"]).items() if k != "environment"}
        found["manifest.json"] = json.dumps(manifest, sort_keys=True).encode()
    return found


def files_of(path: Path) -> dict[str, bytes]:
    """Every file as it is."""
    return {p.relative_to(path).as_posix(): p.read_bytes() for p in path.rglob("*") if p.is_file()}
