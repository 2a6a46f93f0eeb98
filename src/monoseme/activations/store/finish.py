"""The end of a capture: statistics of all shards, the index, and the manifest, after which the store is an artifact."""

import dataclasses
import datetime
import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from monoseme.activations.store.finish_statistics import write_statistics
from monoseme.activations.store.layout import INDEX, STATISTICS, UNFINISHED, Index, ShardRecord, shard_name
from monoseme.activations.store.measured import StorageError, StoreStatistics
from monoseme.core.errors import EmptyCorpusError, ResumeError
from monoseme.core.files import hash_bytes, to_json
from monoseme.core.folder import Folder
from monoseme.core.manifest import make_manifest, read_json_table, read_manifest, this_environment, write_manifest


class StoreSummary(NamedTuple):
    """What is in a finished store."""

    n_shards: int
    n_contexts: int
    n_heldout: int
    """Contexts of held-out documents."""
    n_tokens: int
    """Real ones: rows of each site."""
    n_bytes: int
    """Of all files but the manifest."""
    storage_errors: Mapping[str, StorageError]
    """What the stored type lost, by site."""


def finish_store(
    folder: Folder,
    index: Index,
    *,
    n_shards: int,
    config: Mapping[str, Any],
    inputs: Mapping[str, str],
    began: datetime.datetime,
) -> None:
    """Makes an artifact of a folder with all its shards; `index` is that of the store but for their counts.

    Raises EmptyCorpusError without any shard, ResumeError for one too many, DiskFullError, AddressError.
    """
    if not n_shards:
        raise EmptyCorpusError("there is nothing to store: the text has no context")
    if folder.has(shard_name(n_shards, "")):
        raise ResumeError(f"the text has become shorter since this capture began: {folder} holds more shards than it makes now")
    files: dict[str, Mapping[str, Any]] = {}
    records: list[ShardRecord] = []
    for number in range(n_shards):
        name = shard_name(number, "")
        data = folder.read(name)
        records.append(ShardRecord.from_json(json.loads(data), where=f"{folder}/{name}"))
        files |= records[-1].files
        files[name] = _facts(data)
    index = dataclasses.replace(index, shards=[_counts(record) for record in records])
    files[STATISTICS] = write_statistics(folder, index)._asdict()
    text = to_json(index.to_json()).encode()
    folder.write(INDEX, text)
    files[INDEX] = _facts(text)
    environment = this_environment(began)
    write_manifest(folder, make_manifest(kind="activations", config=config, inputs=inputs, files=files, environment=environment))
    folder.remove(UNFINISHED)


def summary_of(folder: Folder) -> StoreSummary:
    """What a finished store holds, of its manifest, index and statistics."""
    manifest = read_manifest(folder, kind="activations")
    shards = Index.from_json(read_json_table(folder, INDEX), where=f"{folder}/{INDEX}").shards
    statistics = StoreStatistics.read(folder)
    return StoreSummary(
        n_shards=len(shards),
        n_contexts=sum(shard["n_contexts"] for shard in shards),
        n_heldout=sum(shard["n_heldout"] for shard in shards),
        n_tokens=sum(shard["n_rows"] for shard in shards),
        n_bytes=sum(int(facts["bytes"]) for facts in manifest["files"].values()),
        storage_errors={str(site): statistics.storage_error(site) for site in statistics.sites},
    )


def _counts(record: ShardRecord) -> dict[str, int]:
    return {"n_contexts": record.n_contexts, "n_heldout": record.n_heldout, "n_rows": record.n_rows}


def _facts(data: bytes) -> dict[str, Any]:
    return {"hash": hash_bytes(data), "bytes": len(data)}
