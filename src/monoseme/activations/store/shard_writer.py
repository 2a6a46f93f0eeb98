"""Shards written by a thread of their own while the model goes on: rounding, statistics, checksums and the disk are there.

Letters: n contexts, S positions, D width of a site, R real tokens.
"""

import contextlib
import contextvars
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from types import TracebackType

import torch

from monoseme.activations.store.channel import Channel, ChannelClosed
from monoseme.activations.store.config import StoredDtype
from monoseme.activations.store.encode import StoredRows, encode
from monoseme.activations.store.layout import Index, ShardRecord, shard_name
from monoseme.activations.store.shard_text import text_tensors
from monoseme.activations.store.sizes import site_specs
from monoseme.activations.store.statistics import ShardStatistics, SiteRows
from monoseme.core.files import to_json
from monoseme.core.folder import Folder
from monoseme.models.site import Site
from monoseme.tensors.shapes import Tensor
from monoseme.tensors.tensor_file import FileFacts, ShardFile, create_file, write_tensors
from monoseme.text.block import TokenBlock

_MOST_BYTES = 256 << 20
"""Vectors that wait to be written: enough for the disk to pause without the model's noticing, and no more than a shard."""
_THREADS_PER_HAND = 4
"""A core hashes about 1.5 GB/s: less than a GPU can give. Where cores are few, the model needs them all."""


@dataclass(frozen=True, kw_only=True)
class ShardKind:
    """What all shards of a store have in common."""

    widths: Mapping[Site, int]
    """D of each site, in the store's order."""
    dtype: StoredDtype
    context_len: int
    """S."""
    has_text: bool
    sink_thresholds: Mapping[str, float | None]

    def index(self, *, contexts_per_block: int, sink_factor: float | None) -> Index:
        """That of the store, before its shards are counted."""
        return Index(
            sites=[str(site) for site in self.widths],
            widths={str(site): width for site, width in self.widths.items()},
            dtype=self.dtype,
            context_len=self.context_len,
            contexts_per_block=contexts_per_block,
            has_text=self.has_text,
            sink_factor=sink_factor,
            sink_thresholds=self.sink_thresholds,
            shards=[],
        )

    def statistics(self, number: int) -> ShardStatistics:
        """Those of a shard, before its first block."""
        return ShardStatistics(self.widths, self.context_len, self.sink_thresholds, shard=number, has_text=self.has_text)


@dataclass(frozen=True, kw_only=True)
class NewShard:
    """A shard before its vectors are there: its text is known first, and with it the shape of every file."""

    number: int
    texts: Sequence[TokenBlock]
    """Block by block."""
    heldout: Sequence[bool]
    """Whether each block is."""

    @property
    def n_rows(self) -> int:
        """Real tokens."""
        return sum(int(text.real.sum()) for text in self.texts)


class ShardWriter:
    """Writes shards in a thread, in the order in which they are begun; what it cannot write, the next call here raises.

    A context manager: leaving it waits until all that was handed over is written. A shard of which not all blocks were leaves no
    file.
    """

    def __init__(self, folder: Folder, kind: ShardKind, *, most_bytes: int = _MOST_BYTES) -> None:
        """At most `most_bytes` of vectors wait (one block, if that is larger): beyond that, `add` waits for the disk."""
        self._folder, self._kind = folder, kind
        self._channel: Channel[NewShard | Mapping[Site, Tensor]] = Channel(most_bytes=most_bytes)
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="write-shards")
        n_hands = min(len(kind.widths), torch.get_num_threads() // _THREADS_PER_HAND)
        self._hands = ThreadPoolExecutor(n_hands, thread_name_prefix="write-site") if n_hands > 1 else None
        self._work: Future[None] | None = None

    def __enter__(self) -> "ShardWriter":
        self._work = self._executor.submit(contextvars.copy_context().run, self._write_all)
        self._work.add_done_callback(self._tell_failure)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._channel.close(drop=isinstance(error, KeyboardInterrupt))
        self._executor.shutdown(wait=True)
        if self._hands is not None:
            self._hands.shutdown(wait=True)
        if error is None:
            self._channel.raise_error()

    def begin(self, shard: NewShard) -> None:
        """The next shard. Raises what writing an earlier one raised: DiskFullError, ConfigError for what cannot be stored."""
        self._channel.put(shard, 0)

    def add(self, vectors: Mapping[Site, Tensor]) -> None:
        """The vectors [n, S, D] of the shard's next block; they must not be written to afterwards. Raises as `begin`."""
        self._channel.put(vectors, sum(x.numel() * x.element_size() for x in vectors.values()))

    def _write_all(self) -> None:
        with contextlib.suppress(ChannelClosed):
            while True:
                shard = self._channel.get()
                assert isinstance(shard, NewShard)  # the caller hands over a shard, then as many blocks as it has
                write_shard(self._folder, self._kind, shard, self._blocks(len(shard.texts)), hands=self._hands)

    def _blocks(self, n: int) -> Iterator[Mapping[Site, Tensor]]:
        for _ in range(n):
            vectors = self._channel.get()
            assert not isinstance(vectors, NewShard)
            yield vectors

    def _tell_failure(self, work: "Future[None]") -> None:
        error = work.exception()
        if error is not None:
            self._channel.fail(error)


def write_shard(
    folder: Folder,
    kind: ShardKind,
    shard: NewShard,
    blocks: Iterator[Mapping[Site, Tensor]],
    *,
    hands: Executor | None = None,
) -> ShardRecord:
    """Writes a shard's files and then its record, so that there is none after an error.

    `blocks`: of each text the vectors [n, S, D]. `hands` hash and write several sites at once, to the same bytes; None: one after
    the other.

    Raises DiskFullError, AddressError, ConfigError for numbers that the stored type cannot hold.
    """
    text, statistics = text_tensors(shard.texts, shard.heldout), kind.statistics(shard.number)
    files: dict[str, FileFacts] = {}
    each = map if hands is None else hands.map
    with contextlib.ExitStack() as stack:
        n_rows = shard.n_rows
        sites = {
            site: _SiteFile(
                stack.enter_context(
                    create_file(folder, shard_name(shard.number, str(site)), site_specs(n_rows, width, kind.dtype))
                )
            )
            for site, width in kind.widths.items()
        }
        for block, vectors in zip(shard.texts, blocks, strict=True):
            rows = {site: _encoded(block, vectors[site], kind.dtype, site) for site in kind.widths}
            statistics.add(block, rows)
            for _ in each(_SiteFile.add, sites.values(), [rows[site].stored for site in sites]):
                pass  # errors come out here
        files |= {shard_name(shard.number, str(site)): file.finish() for site, file in sites.items()}
    name = shard_name(shard.number, "text")
    files[name] = write_tensors(folder, name, text)
    name = shard_name(shard.number, "statistics")
    files[name] = write_tensors(folder, name, statistics.tensors())
    record = ShardRecord(
        number=shard.number,
        n_contexts=len(text["heldout"]),
        n_heldout=int(text["heldout"].sum()),
        n_rows=n_rows,
        files={name: facts._asdict() for name, facts in files.items()},
    )
    folder.write(shard_name(shard.number, ""), to_json(asdict(record)))
    return record


class _SiteFile:
    """A site's file: vectors go out at once, norms and scales when all are there."""

    def __init__(self, file: ShardFile) -> None:
        self._file = file
        self._norms: list[Tensor] = []
        self._scales: list[Tensor] = []

    def add(self, rows: StoredRows) -> None:
        self._file.write(rows.x)
        self._norms.append(rows.norm.cpu())
        if rows.scale is not None:
            self._scales.append(rows.scale.cpu())

    def finish(self) -> FileFacts:
        for parts in (self._norms, self._scales):
            for part in parts:
                self._file.write(part)
        return self._file.finish()


def _encoded(text: TokenBlock, vectors: Tensor, dtype: StoredDtype, site: Site) -> SiteRows:
    """The rows [R, D] of the real tokens."""
    x = vectors.detach().flatten(0, 1)
    if not bool(text.real.all()):
        x = x[text.real.flatten().nonzero().squeeze(1).to(x.device)]
    return SiteRows(x, encode(x, dtype, what=f"the vectors of {site}"))
