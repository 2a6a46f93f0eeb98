"""What lies in an `activations` artifact: written by `capture` and `import`, read by `StoredActivations`.

    STORE/manifest.json                      last of all: config, inputs, checksums of every file
    STORE/index.json                         what a reader needs (`Index`)
    STORE/statistics.safetensors             what was measured in the same pass, float64, mergeable
    STORE/shards/00007.json                  a finished shard (`ShardRecord`): written last of its files, so it exists if they do
    STORE/shards/00007.statistics.safetensors  the shard's part of the statistics
    STORE/shards/00007.text.safetensors      what is known of each token
    STORE/shards/00007.SITE.safetensors      the vectors of one site
    STORE/capture.json                       only while unfinished: what is being captured

A shard holds whole contexts, in the order of capture. Letters: n contexts, S positions, D width of the site, R real tokens of
the shard (what is not padding) in reading order: rows of padding are not stored.

| file | tensor | type | |
|---|---|---|---|
| text | tokens | uint32 [n, S] | token ids |
| text | mask | uint8 [n, S] | 1: SAEs may see it (real, not special, of a role asked for); attention sinks are still in |
| text | real | uint8 [n, S] | 1: not padding |
| text | documents | int64 [n, S] | document; -1 on padding |
| text | sources | int64 [n, S] | source of the document; -1 on padding |
| text | positions | int32 [n, S] | place in the document; -1 for BOS and padding |
| text | roles, turns | int8, int16 [n, S] | 0 in plain text |
| text | heldout | uint8 [n] | 1: the context holds documents kept out of training |
| SITE | x | float32, bfloat16, float16 or int8 [R, D] | the vectors; with int8, x times its row's scale |
| SITE | scale | float32 [R] | only with int8 |
| SITE | norm | float32 [R] | length of the vector before it was rounded to the stored type |
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, TypeVar

from monoseme.activations.store.config import StoredDtype
from monoseme.core.config import from_dict
from monoseme.core.errors import ArtifactDamagedError, ConfigError, SiteError
from monoseme.core.manifest import require_facts
from monoseme.models.site import Site

INDEX, STATISTICS, UNFINISHED = "index.json", "statistics.safetensors", "capture.json"


def shard_name(number: int, part: str) -> str:
    """File of a shard: part "text", "statistics" or a site; "" for its record."""
    return f"shards/{number:05d}.{part}.safetensors" if part else f"shards/{number:05d}.json"


@dataclass(frozen=True, kw_only=True)
class ShardRecord:
    """A finished shard."""

    number: int
    n_contexts: int
    n_heldout: int
    """Contexts of held-out documents."""
    n_rows: int
    """Real tokens: rows of each site."""
    files: Mapping[str, Mapping[str, Any]]
    """Name in the store -> {"hash": "sha256:...", "bytes": n}, as in a manifest; all but the record itself."""

    @property
    def n_bytes(self) -> int:
        """Of all its files but the record."""
        return sum(int(facts["bytes"]) for facts in self.files.values())

    def to_json(self) -> dict[str, Any]:
        """JSON-able."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Any, *, where: str) -> "ShardRecord":
        """The inverse of `to_json`. Raises ArtifactDamagedError."""
        record = _made(cls, data, where)
        require_facts(record.files, where=where)
        _require_least(where, 0, {"number": record.number, "n_rows": record.n_rows})
        _require_split(where, record.n_contexts, record.n_heldout)
        return record


@dataclass(frozen=True, kw_only=True)
class Index:
    """What a reader needs to know of a store."""

    sites: list[str]
    widths: Mapping[str, int]
    """D of each site."""
    dtype: StoredDtype
    context_len: int
    """S."""
    contexts_per_block: int
    """Contexts that went through the model as one block, in the same forward batches."""
    has_text: bool
    """False where a foreign store kept no token ids: tokens, documents and positions then mean nothing."""
    sink_factor: float | None
    """The attention-sink filter's multiple of the median norm; None where sinks were let through."""
    sink_thresholds: Mapping[str, float | None]
    """Longest norm let through per site, None for any; empty without the filter."""
    shards: list[Mapping[str, int]]
    """Of each shard, in order: n_contexts, n_heldout, n_rows."""

    @property
    def site_list(self) -> tuple[Site, ...]:
        """The sites, parsed."""
        return tuple(Site.parse(site) for site in self.sites)

    def to_json(self) -> dict[str, Any]:
        """JSON-able."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Any, *, where: str) -> "Index":
        """The inverse of `to_json`. Raises ArtifactDamagedError."""
        index = _made(cls, data, where)
        if not index.sites or len(set(index.sites)) < len(index.sites) or set(index.widths) != set(index.sites):
            raise ArtifactDamagedError(f"{where} has no sites, one twice, or other widths than sites")
        try:
            _ = index.site_list
        except (SiteError, ValueError) as error:
            raise ArtifactDamagedError(f"{where} names a site that there is not: {error}") from error
        sizes = {"context_len": index.context_len, "contexts_per_block": index.contexts_per_block}
        _require_least(where, 1, {**sizes, **{f"widths.{site}": width for site, width in index.widths.items()}})
        for number, shard in enumerate(index.shards):
            if set(shard) != {"n_contexts", "n_heldout", "n_rows"}:
                raise ArtifactDamagedError(f"{where} does not say how large shard {number} is")
            _require_least(where, 0, {f"shards.{number}.n_rows": shard["n_rows"]})
            _require_split(where, shard["n_contexts"], shard["n_heldout"])
        return index


M = TypeVar("M", "ShardRecord", "Index")


def _made(cls: type[M], data: Any, where: str) -> M:
    """With the types that the fields have. Raises ArtifactDamagedError."""
    try:
        return from_dict(cls, data, where=where)
    except ConfigError as error:
        raise ArtifactDamagedError(f"what this file says is not what it should be: {error}") from error


def _require_least(where: str, least: int, counts: Mapping[str, int]) -> None:
    for name, count in counts.items():
        if count < least:
            raise ArtifactDamagedError(f"{where} has {name} {count:,}: it must be at least {least}")


def _require_split(where: str, n_contexts: int, n_heldout: int) -> None:
    if not 0 <= n_heldout <= n_contexts:
        raise ArtifactDamagedError(f"{where} has a shard of {n_contexts:,} contexts of which {n_heldout:,} are held out")
