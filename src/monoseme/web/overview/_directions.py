"""The dictionary of an SAE as pages compare and map it: the direction that each of its latents writes."""

import threading
from typing import TYPE_CHECKING, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from monoseme.web.recent import Recent
from monoseme.web.run_files import RunFiles, UnavailableError

if TYPE_CHECKING:
    from monoseme.saes import SAE
    from monoseme.splice import Placed

_MOST_KEPT = 2
"""Dictionaries kept: of 65,536 latents and 768 numbers, 0.2 GB each."""


class Directions(NamedTuple):
    """Rows of length 1 of the latents that take part."""

    latents: NDArray[np.int32]
    """[n] their numbers."""
    rows: NDArray[np.float32]
    """[n, D]"""
    n_latents: int
    """Of the SAE (count)."""
    left_out: str
    """Why the others do not take part; "" where all do."""


class Basis(NamedTuple):
    """What decoder rows have to share so that their angles mean something."""

    model: str
    sites: tuple[str, ...]
    d: int
    is_residual: bool
    """Whether the SAE writes to the residual stream, which all its sites have in common."""

    def why_apart(self, other: "Basis") -> str | None:
        """Why directions of the two cannot be compared; None where they can."""
        if self.model != other.model:
            return f"their models differ: {self.model} and {other.model}"
        if self.d != other.d:
            return f"their directions have {self.d:,} and {other.d:,} numbers"
        if self.sites == other.sites or (self.is_residual and other.is_residual):
            return None
        return f"{', '.join(self.sites)} and {', '.join(other.sites)} have no basis in common"


class Dictionary(NamedTuple):
    """Directions, and in which basis."""

    directions: Directions
    basis: Basis
    hash: str
    """Of what it was made from: the same SAE and the same choice of latents have the same."""


class DirectionsReader:
    """The dictionaries of one run; the last ones asked for are kept."""

    def __init__(self, files: RunFiles) -> None:
        self._files = files
        self._lock = threading.Lock()
        self._kept: Recent[tuple[str, str], Dictionary] = Recent(_MOST_KEPT)

    def stamp(self, key: str) -> str:
        """What changes when a new scan tells of other latents that never fire. Raises NotFoundError."""
        self._files.sae(key)
        return _scan(self._files, key)

    def of(self, key: str) -> Dictionary:
        """As `dictionary`; of several that ask for one, the first makes it."""
        with self._lock:
            return self._kept.get((key, self.stamp(key)), lambda: dictionary(self._files, key))


def dictionary(files: RunFiles, key: str) -> Dictionary:
    """The dictionary behind a name of the run; seconds for a large SAE.

    Latents that never fired on the scanned text are left out: training has not shaped where they point. Raises NotFoundError,
    UnavailableError for an SAE whose latents have no one direction.
    """
    from monoseme.core.artifact import open_artifact
    from monoseme.core.files import hash_json
    from monoseme.saes import load_sae
    from monoseme.splice import Placed

    found = files.sae(key)
    placed = Placed(load_sae(found.path), found.sites)
    if placed.sae.codes_per_site and placed.inputs != placed.outputs:
        raise UnavailableError(
            f"each layer of {found.name} has latents of its own that write to several layers: none has one direction"
        )
    made_from = [open_artifact(found.path, kind="sae").content_hash, _scan(files, key)]
    return Dictionary(_directions(placed, _alive(files, key)), _basis(files.model_name, placed), hash_json(made_from))


def _scan(files: RunFiles, key: str) -> str:
    """What the choice of latents rests on."""
    return files.atlas_with(key).latents(key).content_hash if key in files.scanned() else ""


def _alive(files: RunFiles, key: str) -> NDArray[np.bool_] | None:
    """Which latents fired on the scanned text; None where that is not known."""
    return files.atlas_with(key).latents(key).densities() > 0 if key in files.scanned() else None


def _directions(placed: "Placed", alive: NDArray[np.bool_] | None) -> Directions:
    from monoseme.evaluation import directions_of

    every = directions_of(cast("SAE", placed.sae), n_sites=len(placed.sites)).float().numpy()
    writes = np.abs(every).sum(1) > 0
    kept = writes if alive is None else writes & alive
    silent = 0 if alive is None else int((~alive).sum())
    told = ((silent, "never fired on the scanned text"), (int((~writes).sum()), "write nothing"))
    left_out = " and ".join(f"{n:,} {why}" for n, why in told if n)
    return Directions(np.flatnonzero(kept).astype(np.int32), every[kept], len(every), left_out)


def _basis(model: str, placed: "Placed") -> Basis:
    from monoseme.models.site import WRITES_RESIDUAL

    sites = placed.outputs
    in_residual = all(site.kind in WRITES_RESIDUAL for site in sites)
    return Basis(model, tuple(map(str, sites)), cast("SAE", placed.sae).d_out, in_residual)
