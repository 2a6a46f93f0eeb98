"""The end of a capture: the shards' statistics are merged in their order, and the sampled rows read back for their median.

Letters: n rows of the sample, D width of a site.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from monoseme.activations.store.encode import decode
from monoseme.activations.store.layout import STATISTICS, Index, shard_name
from monoseme.activations.store.merge import arrays_of, as_tensors, merged
from monoseme.activations.store.row_sample import Sample
from monoseme.activations.store.statistics_file import read_statistics
from monoseme.core.folder import Folder
from monoseme.models.site import Site
from monoseme.saes._dictionary import geometric_median
from monoseme.tensors.shapes import Float, Tensor
from monoseme.tensors.tensor_file import FileFacts, TensorPlace, read_header, write_tensors

_READERS = 16
"""Requests at once where files cannot be mapped: each waits a while and moves little."""


def write_statistics(folder: Folder, index: Index) -> FileFacts:
    """Makes `statistics.safetensors` of a store whose shards are all there.

    Raises ArtifactDamagedError for a shard that cannot be read, DiskFullError.
    """
    parts = _parts(folder, index)
    arrays = next(parts)
    for part in parts:
        arrays = merged(arrays, part)
    sample = Sample.of_arrays(arrays).in_store_order()
    for site in index.site_list if len(sample.row) else ():
        arrays[f"{site}/geometric_median"] = geometric_median(read_rows(folder, site, sample)).numpy()
    return write_tensors(folder, STATISTICS, as_tensors(arrays))


def read_rows(folder: Folder, site: Site, sample: Sample) -> Float[Tensor, "n D"]:
    """The vectors of rows that are in the order of the store, as they are stored, in float32. Raises ArtifactDamagedError."""
    shards = [int(shard) for shard in np.unique(sample.shard)]
    return torch.cat([_rows_of(folder, shard_name(shard, str(site)), sample.row[sample.shard == shard]) for shard in shards])


def _parts(folder: Folder, index: Index) -> Iterator[dict[str, NDArray[Any]]]:
    for number in range(len(index.shards)):
        yield arrays_of(read_statistics(folder, shard_name(number, "statistics")))


def _rows_of(folder: Folder, name: str, rows: NDArray[np.int64]) -> Float[Tensor, "n D"]:
    header = read_header(folder, name)
    scale = _picked(folder, name, header["scale"], rows) if "scale" in header else None
    return decode(_picked(folder, name, header["x"], rows), scale)


def _picked(folder: Folder, name: str, place: TensorPlace, rows: NDArray[np.int64]) -> Tensor:
    """Rows of one tensor of a file, without reading the others."""
    n_bytes = (place.stop - place.start) // max(place.shape[0], 1)
    mapped = folder.map(name)
    if mapped is not None:
        table = mapped[place.start : place.stop].reshape(-1, n_bytes)[rows]
    else:

        def fetch(row: int) -> bytes:
            return folder.read(name, place.start + row * n_bytes, place.start + (row + 1) * n_bytes)

        with ThreadPoolExecutor(_READERS) as pool:
            table = np.frombuffer(b"".join(pool.map(fetch, rows.tolist())), np.uint8).reshape(-1, n_bytes).copy()
    return torch.from_numpy(table).view(place.dtype).reshape(-1, *place.shape[1:])
