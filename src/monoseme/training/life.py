"""The life of a dictionary: how often its latents fire, how long they have been silent, which died and which came back.

Counted where the SAE is, without reading anything back at a step, and written as rows `"event": "latents"` of `metrics.jsonl`
(see `metrics`). Where each site has latents of its own ([L, F] counts), they are all counted.

Letters: F latents, L sites.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from monoseme.saes import SAE, Losses
from monoseme.tensors.processes import ALONE, Group, Mesh

DENSITY_BINS = tuple(-7.0 + 0.25 * i for i in range(29))
"""Edges in log10 of the share of tokens that a latent fired on; what lies below the first counts in the first bin."""
AGE_BINS = tuple(0.25 * i for i in range(41))
"""Edges in log10 of the tokens since a latent fired; one that fired in the last batch (0 tokens) counts in the first bin."""


class LatentLife:
    """What happened to the latents of one SAE since the last row."""

    def __init__(self, sae: SAE, *, rows: Group = ALONE) -> None:
        """Each process counts the latents that are here on the rows that are here; `settle` and `row` add up."""
        self._mesh = Mesh(rows, sae.shard)
        device = sae.tokens_since_fired.device
        self._fired = torch.zeros(sae.tokens_since_fired.numel(), dtype=torch.int64, device=device)
        self._events = torch.zeros(3, dtype=torch.int64, device=device)  # deaths, revivals, resampled
        self._was_dead = sae.dead_mask()
        self._n_rows = 0

    @torch.no_grad()
    def add(self, sae: SAE, losses: Losses, *, share: float = 1.0) -> None:
        """Takes in a step, after the latents' counts have been moved; `share` is that of the rows here in the whole batch."""
        if losses.active is None:
            return
        active = losses.active
        n_sites = self._fired.shape[0] // sae.n_latents  # more than one where each site has latents of its own, [L, F]
        latents = active.indices.long() if n_sites == 1 else (active.rows() % n_sites) * sae.n_latents + active.indices
        self._fired.scatter_add_(0, latents, (active.values != 0).long())
        self._n_rows += round(active.n_rows // n_sites / share)
        dead = sae.dead_mask()
        self._events[0] += (dead & ~self._was_dead).sum()
        self._events[1] += (self._was_dead & ~dead).sum()
        self._was_dead = dead

    def resampled(self, sae: SAE, n: int) -> None:
        """n latents were given a new direction: they are not dead, but they have not come back by themselves either."""
        self._events[2] += n
        self._was_dead = sae.dead_mask()

    def settle(self) -> None:
        """What several processes counted becomes that of the first of them: before a row, and before a checkpoint."""
        rows, latents = self._mesh
        if rows.size > 1:
            self._fired.copy_(_of_first(rows, self._fired))
        if latents.size > 1:
            self._events.copy_(_of_first(latents, self._events))

    @property
    def n_rows(self) -> int:
        """Tokens counted since the last row."""
        return self._n_rows

    def row(self, sae: SAE) -> dict[str, Any]:
        """The numbers of a row, of the latents of all processes; waits for the device. `settle` comes before."""
        fired, ages = self._fired.cpu(), sae.tokens_since_fired.flatten().cpu()
        firing = fired[fired > 0].double() / max(1, self._n_rows)
        deaths, revivals, resampled = self._events.tolist()
        counts = {
            "density": _histogram(firing, DENSITY_BINS),
            "silent": [int((fired == 0).sum())],
            "age": _histogram(ages.double(), AGE_BINS),
            "dead": [int(sae.dead_mask().sum())],
            "deaths": [deaths],
            "revivals": [revivals],
            "resampled": [resampled],
        }
        summed = self._mesh.latents.sum(torch.tensor([n for part in counts.values() for n in part])).tolist()
        row: dict[str, Any] = {"density_bins": list(DENSITY_BINS), "age_bins": list(AGE_BINS)}
        for name, part in counts.items():
            found, summed = summed[: len(part)], summed[len(part) :]
            row[name] = found if name in ("density", "age") else found[0]
        return row

    def clear(self) -> None:
        """Begins the next window."""
        self._fired.zero_()
        self._events.zero_()
        self._n_rows = 0

    def tensors(self) -> dict[str, Tensor]:
        """Counts of the window, for a checkpoint."""
        return {"fired": self._fired, "events": self._events, "was_dead": self._was_dead}

    def load(self, tensors: Mapping[str, Tensor], *, n_rows: int) -> None:
        """Takes up what `tensors` and `n_rows` gave."""
        self._fired.copy_(tensors["fired"])
        self._events.copy_(tensors["events"])
        if self._mesh.rows.rank:
            self._fired.zero_()
        if self._mesh.latents.rank:
            self._events.zero_()
        self._was_dead = tensors["was_dead"].to(self._fired.device, copy=True)
        self._n_rows = n_rows


def _histogram(values: Tensor, edges: tuple[float, ...]) -> list[int]:
    """Counts of float64 values in bins whose edges are given in log10; each bin holds its lower edge, the ends hold the rest."""
    inner = torch.tensor([10.0**edge for edge in edges[1:-1]], dtype=torch.float64)
    return torch.bincount(torch.bucketize(values, inner, right=True), minlength=len(edges) - 1).tolist()


def _of_first(group: Group, counts: Tensor) -> Tensor:
    """The sum over the group on its first rank, zeros on the others."""
    total = group.sum(counts)
    return total if group.rank == 0 else torch.zeros_like(total)
