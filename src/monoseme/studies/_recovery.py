"""How much of a planted world an SAE found: directions, firing, absorption.

Letters: T tokens, L layers, D width, F latents, G planted features.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import torch

from monoseme.activations import Block
from monoseme.evaluation import directions_of
from monoseme.models import Site
from monoseme.saes import SAE
from monoseme.studies._planted import PlantedSource
from monoseme.tensors.shapes import Bool, Float, Int, Tensor

FAMILIES = {
    "plain": ("plain",),
    "correlated": ("correlated",),
    "hierarchical": ("parent", "child"),
    "absorbing": ("host", "guest"),
    "slow": ("slow",),
    "wandering": ("wandering",),
}
"""Name in the results -> kinds of the planted world."""
FOUND = 0.9
"""Cosine from which a feature counts as found."""


class Recovery(NamedTuple):
    """What one SAE found; shares and means in [0, 1], None where they are not defined."""

    mmcs: float
    """Mean over planted features of the largest cosine to a latent's direction."""
    mmcs_back: float | None
    """Mean over the latents that fire of the largest cosine to a planted feature."""
    found: float
    """Share of planted features with a latent at cosine 0.9 or more."""
    f1: float
    """Mean over planted features of the F1 of their firing as told by their best-matched latent."""
    absorption: float | None
    """How much more often a host's latent is silent with the guest than without, over the hosts that are found."""
    l0: float
    fvu: float
    """Of what it is to give back, on the same tokens."""
    dead_fraction: float
    """Latents that fired on none of the tokens."""
    families: dict[str, dict[str, float]]
    """Family -> mmcs, found and f1 of its features; those of which the world has none are left out."""


@torch.no_grad()
def measure_recovery(sae: SAE, sites: Sequence[Site], source: PlantedSource) -> Recovery:
    """Reads every block of `source` at the sites the SAE learned from.

    What is true is taken at each site for codes per site, at any of them for one code of several, else where it rebuilds.
    """
    layer = sites[sae.roles(len(sites)).outputs[0]].layer
    cosines = directions_of(sae, n_sites=len(sites)) @ source.world.directions.double().T
    counts = _Counts(cosines.argmax(0), n_latents=sae.n_latents, n_features=len(source.world.directions))
    hosts, guests = (torch.tensor(list(source.world.ranges[kind]), dtype=torch.int64) for kind in ("host", "guest"))
    for block in source.blocks():
        on = source.world.firing(source.part, block.index).on
        reading = _read(sae, sites, block)
        counts.add(reading, _truth(on, sae, layer), hosts=hosts, guests=guests)
    return _result(counts, cosines, source)


class _Reading(NamedTuple):
    """The codes of T rows (tokens, or tokens at each site) and what they rebuild."""

    active: Bool[Tensor, "T F"]
    y: Float[Tensor, "T E"]
    y_hat: Float[Tensor, "T E"]


def _read(sae: SAE, sites: Sequence[Site], block: Block) -> _Reading:
    several = torch.stack([block.activations[site] for site in sites], dim=2)
    x, y = (several[:, :, 0], several[:, :, 0]) if len(sites) == 1 else sae.in_out(several)
    codes = sae.encode_contexts(x, block.mask) if sae.reads == "contexts" else sae.encode(x.flatten(0, 1))
    whole = sae.decode(codes)
    dense = codes.dense("novel" if "novel" in codes.parts else None)
    return _Reading((dense != 0).reshape(-1, sae.n_latents), y.reshape(-1, y.shape[-1]), whole.reshape(-1, whole.shape[-1]))


def _truth(on: Bool[Tensor, "n S L G"], sae: SAE, layer: int) -> Bool[Tensor, "T G"]:
    """What fires on the rows of a reading."""
    if sae.codes_per_site:
        return on.flatten(0, 2)
    there = on.any(2) if sae.reads == "layers" else on[:, :, layer]
    return there.flatten(0, 1)


@dataclass
class _Counts:
    """Sums over blocks: integers, and squared errors in float64."""

    best: Int[Tensor, " G"]
    """Latent matched to each feature."""
    n_latents: int
    n_features: int
    n_rows: int = 0
    n_vectors: int = 0
    error: float = 0.0
    squares: float = 0.0
    sums: Tensor | None = None
    fired: Tensor = field(init=False)
    on: Tensor = field(init=False)
    both: Tensor = field(init=False)
    paired: Tensor = field(init=False)
    """[guest there or not, host's latent silent or not, host]."""

    def __post_init__(self) -> None:
        self.fired = torch.zeros(self.n_latents, dtype=torch.int64)
        self.on = torch.zeros(self.n_features, dtype=torch.int64)
        self.both = torch.zeros(self.n_features, dtype=torch.int64)
        self.paired = torch.zeros(2, 2, 0, dtype=torch.int64)

    def add(self, reading: _Reading, on: Bool[Tensor, "T G"], *, hosts: Tensor, guests: Tensor) -> None:
        told = reading.active[:, self.best]
        self.n_rows += len(on)
        self.n_vectors += len(reading.y)
        self.fired += reading.active.sum(0)
        self.on += on.sum(0)
        self.both += (told & on).sum(0)
        self.error += float((reading.y - reading.y_hat).double().square().sum())
        self.squares += float(reading.y.double().square().sum())
        total = reading.y.double().sum(0)
        self.sums = total if self.sums is None else self.sums + total
        self._add_pairs(told[:, hosts], on[:, hosts], on[:, guests])

    def _add_pairs(self, told: Tensor, host: Tensor, guest: Tensor) -> None:
        counts = torch.stack([torch.stack([(host & g & t).sum(0) for t in (told, ~told)]) for g in (~guest, guest)])
        self.paired = counts if self.paired.shape[2] == 0 else self.paired + counts

    def f1(self) -> Float[Tensor, " G"]:
        return 2 * self.both.double() / (self.on + self.fired[self.best]).clamp(min=1)

    def fvu(self) -> float:
        if self.sums is None:
            raise AssertionError("a source has at least one block")
        return self.error / (self.squares - float(self.sums.square().sum()) / self.n_vectors)

    def absorption(self, is_found: Bool[Tensor, " H"]) -> float | None:
        """Share of silence with the guest less that without, mean over the found hosts that were seen in both ways."""
        seen = self.paired.sum(1)
        usable = is_found & (seen > 0).all(0)
        if not bool(usable.any()):
            return None
        silent = self.paired[:, 1].double() / seen.clamp(min=1)
        return float((silent[1] - silent[0])[usable].mean())


def _result(counts: _Counts, cosines: Float[Tensor, "F G"], source: PlantedSource) -> Recovery:
    best, f1 = cosines.amax(0), counts.f1()
    alive = counts.fired > 0
    families: dict[str, dict[str, float]] = {}
    for name, kinds in FAMILIES.items():
        own = torch.tensor([i for kind in kinds for i in source.world.ranges[kind]], dtype=torch.int64)
        if not len(own):
            continue
        families[name] = {
            "mmcs": float(best[own].mean()),
            "found": float((best[own] >= FOUND).double().mean()),
            "f1": float(f1[own].mean()),
        }
    return Recovery(
        mmcs=float(best.mean()),
        mmcs_back=float(cosines.amax(1)[alive].mean()) if bool(alive.any()) else None,
        found=float((best >= FOUND).double().mean()),
        f1=float(f1.mean()),
        absorption=counts.absorption(best[list(source.world.ranges["host"])] >= FOUND),
        l0=float(counts.fired.sum()) / counts.n_rows,
        fvu=counts.fvu(),
        dead_fraction=float((~alive).double().mean()),
        families=families,
    )
