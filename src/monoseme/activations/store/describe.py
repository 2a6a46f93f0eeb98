"""What is in a store of activations, finished or not, as JSON-able facts: for `monoseme show`."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from monoseme.activations.store.layout import INDEX, STATISTICS, Index, shard_name
from monoseme.activations.store.measured import StoreStatistics
from monoseme.activations.store.shards import shard_header
from monoseme.activations.store.unfinished import how_to_go_on, read_unfinished
from monoseme.core.errors import ArtifactDamagedError, UndefinedMetricError
from monoseme.core.folder import Folder, is_address
from monoseme.core.manifest import content_hash, read_json_table, read_manifest, require_files
from monoseme.models.site import Site
from monoseme.tensors.tensor_file import read_tensor

_FAR = "tokens and documents of each side, which are in the text of every shard: to count them, copy the store here"


def describe_store(folder: Folder) -> dict[str, Any]:
    """Of a finished store: manifest, sizes, counts of both sides, and the statistics of each site.

    Sites are in the order of a forward. What is not known is None, with `why_missing`.
    Raises what `read_manifest` does, ArtifactDamagedError, AddressError.
    """
    manifest = read_manifest(folder, kind="activations")
    require_files(folder, manifest)
    index = Index.from_json(read_json_table(folder, INDEX), where=f"{folder}/{INDEX}")
    statistics = StoreStatistics.read(folder)
    if set(statistics.sites) != set(index.site_list):
        raise ArtifactDamagedError(f"{folder}/{STATISTICS} is of other sites than {INDEX}")
    n_tokens, n_bytes = sum(shard["n_rows"] for shard in index.shards), _bytes(manifest["files"])
    return {
        **{key: value for key, value in manifest.items() if key != "files"},
        "content_hash": content_hash(manifest),
        "finished": True,
        "dtype": index.dtype,
        "context_len": index.context_len,
        "contexts_per_block": index.contexts_per_block,
        "sink_factor": index.sink_factor,
        "shards": len(index.shards),
        "bytes": n_bytes,
        "bytes_per_token": n_bytes / n_tokens if n_tokens else None,
        "tokens": n_tokens,
        "tokens_to_train_on": {"masked": statistics.n_masked, "sinks": statistics.n_sinks},
        "split": _split(folder, index),
        "sites": [_site(statistics, site, index.widths[str(site)]) for site in statistics.sites],
        "files": manifest["files"],
    }


def describe_unfinished(folder: Folder) -> dict[str, Any]:
    """How far an unfinished store came. Raises ArtifactMissingError where there is none, ArtifactDamagedError."""
    found = read_unfinished(folder)
    return {
        **found.started,
        "kind": "activations",
        "finished": False,
        "go_on": how_to_go_on(folder, found.started),
        "shards": len(found.records),
        "shards_missing_before_the_last": list(found.gaps),
        "contexts": found.n_contexts,
        "tokens": found.n_rows,
        "bytes": found.n_bytes,
        "bytes_per_token": found.n_bytes / found.n_rows if found.n_rows else None,
        "problems": list(found.problems),
    }


def _bytes(files: Mapping[str, Mapping[str, Any]]) -> int:
    return sum(int(facts["bytes"]) for facts in files.values())


def _split(folder: Folder, index: Index) -> dict[str, dict[str, Any]]:
    """Contexts, tokens and documents of each side."""
    heldout = sum(shard["n_heldout"] for shard in index.shards)
    contexts = {"train": sum(shard["n_contexts"] for shard in index.shards) - heldout, "heldout": heldout}
    if is_address(str(folder)):
        unknown = {"tokens": None, "documents": None, "why_missing": _FAR}
        return {side: {"contexts": n, **unknown} for side, n in contexts.items()}
    documents: dict[str, set[int]] = {side: set() for side in contexts}
    tokens = dict.fromkeys(contexts, 0)
    for side, n_tokens, seen in _sides(folder, index):
        tokens[side] += n_tokens
        documents[side] |= seen
    return {
        side: {"contexts": n, "tokens": tokens[side], **_documents(documents[side], has_text=index.has_text)}
        for side, n in contexts.items()
    }


def _documents(seen: set[int], *, has_text: bool) -> dict[str, Any]:
    if not has_text:
        return {"documents": None, "why_missing": "documents, since what it was imported from kept no text"}
    return {"documents": len(seen)}


def _sides(folder: Folder, index: Index) -> Iterator[tuple[str, int, set[int]]]:
    """Of each shard and side: its name, real tokens, and the documents that they are of."""
    for number in range(len(index.shards)):
        name, places = shard_name(number, "text"), shard_header(folder, index, number, "text")
        real, heldout, documents = (read_tensor(folder, name, places[part]) for part in ("real", "heldout", "documents"))
        for side, chosen in (("train", heldout == 0), ("heldout", heldout != 0)):
            there = documents[chosen][real[chosen] != 0]
            yield side, there.numel(), set(there.unique().tolist())


def _site(statistics: StoreStatistics, site: Site, width: int) -> dict[str, Any]:
    """A site's row; a number that does not exist is None."""
    sinks = statistics.sinks(site)
    return {
        "site": str(site),
        "width": width,
        "tokens_seen": statistics.n(site),
        "not_finite": statistics.n_not_finite(site),
        "mean_norm": _or_none(lambda: statistics.mean_norm(site)),
        "median_norm": statistics.norm_quantile(site, 0.5),
        "unit_mean_square": _or_none(lambda: statistics.norm_factor(site)),
        "inverse_mean_norm": _or_none(lambda: statistics.inverse_mean_norm(site)),
        "sinks": sinks.n,
        "sink_threshold": sinks.threshold,
        "storage_fvu": statistics.storage_error(site).fvu,
    }


def _or_none(value: Callable[[], float]) -> float | None:
    try:
        return value()
    except UndefinedMetricError:
        return None
