"""Where a capture with `max_bytes` ends: after the last shard with which the whole store still fits."""

from collections.abc import Mapping

from monoseme.activations.store.shard_writer import NewShard, ShardKind
from monoseme.activations.store.sizes import site_specs, text_specs
from monoseme.core.errors import ConfigError
from monoseme.tensors.tensor_file import TensorSpec, file_bytes

_RECORD_BYTES = 300
"""At most, of a file in its shard's record and in the manifest, both together."""
_FIXED_BYTES = 1 << 15
"""Index, manifest and config."""


class Budget:
    """Counts what shards will take before they are written, from their text alone; each process comes to the same end."""

    def __init__(self, kind: ShardKind, *, most_bytes: int) -> None:
        """`most_bytes`: of the finished store."""
        self._kind, self._most_bytes = kind, most_bytes
        tensors = kind.statistics(0).tensors()
        self._statistics = file_bytes({name: TensorSpec(t.dtype, tuple(t.shape)) for name, t in tensors.items()})
        medians = {f"{site}/geometric_median": 8 * width for site, width in kind.widths.items()}
        self._used = _FIXED_BYTES + self._statistics + sum(100 + n_bytes for n_bytes in medians.values())

    def admits(self, shard: NewShard) -> bool:
        """Whether the store may have this shard too; it then counts. Raises ConfigError where not even the first one fits."""
        needed = self._bytes_of(shard)
        if self._used + needed <= self._most_bytes:
            self._used += needed
            return True
        if shard.number == 0:
            raise ConfigError(
                f"max_bytes is {self._most_bytes:,}, but the first shard alone makes a store of {self._used + needed:,} bytes.\n"
                "  Give more, or lower shard_bytes."
            )
        return False

    def _bytes_of(self, shard: NewShard) -> int:
        n_contexts, n_rows = sum(text.n_contexts for text in shard.texts), shard.n_rows
        kind = self._kind
        files: list[Mapping[str, TensorSpec]] = [text_specs(n_contexts, kind.context_len)]
        files += [site_specs(n_rows, width, kind.dtype) for width in kind.widths.values()]
        return sum(file_bytes(file) for file in files) + self._statistics + (len(files) + 2) * _RECORD_BYTES
