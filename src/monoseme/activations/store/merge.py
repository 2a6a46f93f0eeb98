"""Statistics of two stretches of a store, one after the other, as those of both. The arrays: `statistics`."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from monoseme.activations.store.row_sample import Sample
from monoseme.activations.store.sink_list import SinkList
from monoseme.tensors.shapes import Tensor

Arrays = Mapping[str, NDArray[Any]]
"""Statistics by the name of the tensor."""


def merged(so_far: Arrays, later: Arrays) -> dict[str, NDArray[Any]]:
    """The statistics of both, of which `later` comes later in the store. Sums are merged in float64.

    Source: Chan, Golub and LeVeque 1983, equation 1.5, for the mean and the squares.
    """
    both: dict[str, NDArray[Any]] = {}
    for key, ours in so_far.items():
        site, _, name = key.rpartition("/")
        if name == "mean":
            both |= named(site, _merged_moments(so_far, later, site))
        elif name == "sinks.norm":
            both |= named(site, SinkList.of_arrays(so_far, site).with_sinks(SinkList.of_arrays(later, site)).arrays())
        elif name == "sample.hash":
            both |= Sample.of_arrays(so_far).with_rows(Sample.of_arrays(later)).arrays()
        elif name == "sink_threshold":
            both[key] = ours
        elif name != "squares" and not name.startswith(("sinks.", "sample.")):
            both[key] = ours + later[key]
    return both


def named(site: object, arrays: Arrays) -> dict[str, NDArray[Any]]:
    """The arrays of a site under their names in a file."""
    return {f"{site}/{name}": array for name, array in arrays.items()}


def arrays_of(tensors: Mapping[str, Tensor]) -> dict[str, NDArray[Any]]:
    """The tensors of a file as `merged` takes them."""
    return {key: value.numpy() for key, value in tensors.items()}


def as_tensors(arrays: Arrays) -> dict[str, Tensor]:
    """The inverse of `arrays_of`, sorted by name."""
    return {key: torch.from_numpy(np.ascontiguousarray(arrays[key])) for key in sorted(arrays)}


def _merged_moments(so_far: Arrays, later: Arrays, site: str) -> Arrays:
    n_ours, n_theirs = float(so_far[f"{site}/n"][0]), float(later[f"{site}/n"][0])
    mean, squares = so_far[f"{site}/mean"], so_far[f"{site}/squares"]
    if n_theirs == 0:
        return {"mean": mean, "squares": squares}
    gap, n = later[f"{site}/mean"] - mean, n_ours + n_theirs
    return {
        "mean": mean + gap * (n_theirs / n),
        "squares": squares + later[f"{site}/squares"] + gap**2 * (n_ours * n_theirs / n),
    }
