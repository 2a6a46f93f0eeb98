"""Stored activations opened: what is in a store, what was measured of it, and sources of its blocks."""

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

from monoseme.activations.filters import TokenFilter
from monoseme.activations.store.layout import INDEX, STATISTICS, Index, shard_name
from monoseme.activations.store.measured import StoreStatistics
from monoseme.activations.store.shards import Shards
from monoseme.activations.store.stored_source import TOKENS_PER_BLOCK, Split, StoredSource
from monoseme.activations.store.unfinished import require_finished
from monoseme.core.checking import require_sound
from monoseme.core.errors import ConfigError, SiteError
from monoseme.core.folder import Folder, LocalFolder, open_folder
from monoseme.core.manifest import content_hash, lacks, read_json_table, read_manifest, require_files
from monoseme.models.site import Site

_SPLITS = ("train", "heldout", "all")


class StoredActivations:
    """An `activations` artifact. Made by `StoredActivations.open`; nothing of its shards is read before it is asked for."""

    def __init__(self, folder: Folder, manifest: dict[str, Any], index: Index) -> None:
        """Assigns."""
        self.folder, self.manifest, self.index = folder, manifest, index
        self.shards = Shards(folder, index)

    @classmethod
    def open(cls, where: str | Path) -> "StoredActivations":
        """The store at a path or an address. The sizes of all files are checked, and the content of the index and the statistics;
        `monoseme check` hashes the shards, which are too much to read for every run.

        Raises ArtifactMissingError for what is no finished store, ArtifactKindError for another artifact, ArtifactVersionError
        for one of a newer monoseme, ArtifactDamagedError for a file that is missing, cut short or not what it should be.
        """
        folder = open_folder(where)
        require_finished(folder)
        manifest = read_manifest(folder, kind="activations")
        require_files(folder, manifest)
        require_sound(folder, {name: facts for name, facts in manifest["files"].items() if name in (INDEX, STATISTICS)})
        index = Index.from_json(read_json_table(folder, INDEX), where=f"{folder}/{INDEX}")
        for name in _files(index):
            if name not in manifest["files"]:
                raise lacks(folder, name)
        return cls(folder, manifest, index)

    @functools.cached_property
    def statistics(self) -> StoreStatistics:
        """What was measured while it was captured. Raises ArtifactDamagedError."""
        return StoreStatistics.read(self.folder)

    @functools.cached_property
    def content_hash(self) -> str:
        """Hash of everything that defines the content."""
        return content_hash(self.manifest)

    @property
    def config(self) -> dict[str, Any]:
        """The whole config it was captured with."""
        return cast(dict[str, Any], self.manifest["config"])

    @property
    def sites(self) -> tuple[Site, ...]:
        """What it holds."""
        return self.index.site_list

    @property
    def is_local(self) -> bool:
        """Whether its files are mapped instead of fetched."""
        return isinstance(self.folder, LocalFolder)

    @property
    def n_contexts(self) -> int:
        """Of both sides of the split."""
        return sum(shard["n_contexts"] for shard in self.index.shards)

    @property
    def n_heldout(self) -> int:
        """Contexts of documents kept out of training."""
        return sum(shard["n_heldout"] for shard in self.index.shards)

    @property
    def n_rows(self) -> int:
        """Real tokens: vectors at each site."""
        return sum(shard["n_rows"] for shard in self.index.shards)

    def source(
        self,
        split: Split = "train",
        sites: Sequence[Site | str] | None = None,
        contexts_per_block: int | None = None,
        filters: TokenFilter = TokenFilter(),  # noqa: B008 - frozen, so one default serves all
        *,
        drop_sinks: bool = True,
    ) -> StoredSource:
        """Blocks of one side of the split, at some of the sites (None: all), without attention sinks and what `filters` name.

        `contexts_per_block` None: as many as hold about 2,048 tokens. What was a sink at any of these sites is left out at all.
        Raises SiteError for a site that the store does not hold, ConfigError, EmptyCorpusError for a split without contexts.
        """
        if split not in _SPLITS:
            raise ConfigError(f'no split "{split}".\n  Allowed: {", ".join(_SPLITS)}')
        if contexts_per_block is not None and contexts_per_block < 1:
            raise ConfigError(f"contexts_per_block is {contexts_per_block}; it must be at least 1")
        wanted = self.sites if sites is None else tuple(dict.fromkeys(Site.parse(str(site)) for site in sites))
        for site in wanted:
            if site not in self.sites:
                raise SiteError(f"{self.folder} holds no {site}.\n  It holds: {', '.join(self.index.sites)}")
        if not wanted:
            raise SiteError(f"no site of {self.folder} is asked for.\n  It holds: {', '.join(self.index.sites)}")
        per_block = contexts_per_block or max(1, TOKENS_PER_BLOCK // self.index.context_len)
        return StoredSource(self, split, wanted, contexts_per_block=per_block, filters=filters, drop_sinks=drop_sinks)

    def __repr__(self) -> str:
        """As one types it."""
        return f"StoredActivations.open({str(self.folder)!r})"


def _files(index: Index) -> list[str]:
    """The files that reading needs."""
    parts = ("text", *index.sites)
    return [STATISTICS, *(shard_name(number, part) for number in range(len(index.shards)) for part in parts)]
