"""A file of statistics, read and held against the table in `monoseme.activations.store.statistics`."""

from collections.abc import Mapping

import torch

from monoseme.activations.store.statistics import no_statistics
from monoseme.core.errors import ArtifactDamagedError, SiteError
from monoseme.core.folder import Folder
from monoseme.models.site import Site
from monoseme.tensors.shapes import Tensor
from monoseme.tensors.tensor_file import TensorPlace, TensorSpec, read_header, read_tensor, require_tensors

_MEAN, _PLACES, _MEDIAN = "/mean", "/place_n", "/geometric_median"


def read_statistics(folder: Folder, name: str) -> dict[str, Tensor]:
    """The tensors of a shard's statistics, or of a store's.

    Raises ArtifactDamagedError where one is missing, or of another type or shape than the others ask for.
    """
    places, where = read_header(folder, name), f"{folder}/{name}"
    require_tensors(places, _wanted(places, where), where=where)
    return {key: read_tensor(folder, name, place) for key, place in places.items()}


def _wanted(places: Mapping[str, TensorPlace], where: str) -> dict[str, TensorSpec]:
    """Of the widths that the means have, and of contexts as long as there are places."""
    widths = {key.removesuffix(_MEAN): place.shape for key, place in places.items() if key.endswith(_MEAN)}
    lengths = [place.shape for key, place in places.items() if key.endswith(_PLACES)]
    shapes = [*widths.values(), *lengths]
    if not widths or not lengths or any(len(shape) != 1 or not shape[0] for shape in shapes):
        raise ArtifactDamagedError(f"{where} holds no statistics of activations")
    try:
        tensors = no_statistics({Site.parse(site): shape[0] for site, shape in widths.items()}, lengths[0][0])
    except (SiteError, ValueError) as error:
        raise ArtifactDamagedError(f"{where} names a site that there is not: {error}") from error
    wanted = {key: TensorSpec(tensor.dtype, tuple(tensor.shape)) for key, tensor in tensors.items()}
    medians = {f"{site}{_MEDIAN}": TensorSpec(torch.float64, shape) for site, shape in widths.items()}
    return wanted | {key: spec for key, spec in medians.items() if key in places}
