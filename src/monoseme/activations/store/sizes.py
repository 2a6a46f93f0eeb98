"""What tensors a shard's files hold, and from that how many bytes and how many blocks make a shard: nothing is asked of the disk.

All of it is a pure function of the settings and of the text's length, so that processes that share a capture, a resume, and a
plan made before it agree without talking. Letters: n contexts, S positions, D width of a site, R real tokens.
"""

from collections.abc import Iterable

import torch

from monoseme.activations.store.config import StorageConfig, StoredDtype
from monoseme.activations.store.encode import TORCH_DTYPES
from monoseme.tensors.tensor_file import TensorSpec

TEXT_DTYPES: dict[str, torch.dtype] = {
    "documents": torch.int64,
    "sources": torch.int64,
    "tokens": torch.uint32,
    "positions": torch.int32,
    "turns": torch.int16,
    "roles": torch.int8,
    "mask": torch.uint8,
    "real": torch.uint8,
}
"""What is kept of each token, in the order of the file: the widest first, so that each begins at a multiple of its item size."""


def text_specs(n_contexts: int, context_len: int) -> dict[str, TensorSpec]:
    """The tensors of a text file."""
    specs = {name: TensorSpec(dtype, (n_contexts, context_len)) for name, dtype in TEXT_DTYPES.items()}
    return specs | {"heldout": TensorSpec(torch.uint8, (n_contexts,))}


def site_specs(n_rows: int, width: int, dtype: StoredDtype) -> dict[str, TensorSpec]:
    """The tensors of a site's file: the vectors first, since what is known of each row is complete only after the last."""
    specs = {"x": TensorSpec(TORCH_DTYPES[dtype], (n_rows, width)), "norm": TensorSpec(torch.float32, (n_rows,))}
    return specs | ({"scale": TensorSpec(torch.float32, (n_rows,))} if dtype == "int8" else {})


def bytes_per_context(widths: Iterable[int], dtype: StoredDtype, context_len: int) -> int:
    """Of a context without padding, all sites together; headers and statistics are not counted."""
    text = sum(spec.n_bytes for spec in text_specs(1, context_len).values())
    return text + sum(spec.n_bytes for width in widths for spec in site_specs(context_len, width, dtype).values())


def blocks_per_shard(widths: Iterable[int], storage: StorageConfig, *, context_len: int, contexts_per_block: int) -> int:
    """Blocks that make a shard of about `shard_bytes` where nothing is padding; at least one. `widths`: D of each site."""
    of_block = contexts_per_block * bytes_per_context(widths, storage.dtype, context_len)
    return max(1, storage.shard_bytes // of_block)
