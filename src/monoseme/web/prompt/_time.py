"""A text through an SAE over time: the strongest latents of each part of the code, token by token, and what each part rebuilds.

Letters: T tokens that the SAE reads, D width, E entries, M latents.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch

from monoseme.saes import Codes
from monoseme.splice import without_code
from monoseme.tensors.shapes import Float, Tensor
from monoseme.tensors.sparse import SparseCodes
from monoseme.web.forward import Forward
from monoseme.web.latents.answers import LatentRow
from monoseme.web.prompt._entries import Entries, Numbers, Values, entries_of, shortened
from monoseme.web.prompt._known import KnownLatents
from monoseme.web.prompt._views import parts_of
from monoseme.web.prompt.answers import PartOfPrompt, TimeReading, TimeRow

WHOLE = "all"


class PartEntries(NamedTuple):
    """One part of the code of a text, and its latents."""

    name: str
    entries: Entries
    latents: Numbers
    """[M], those that fired."""
    which: Numbers
    """[E], the row of `latents` of each entry."""
    totals: Values
    """[M], sums of sizes."""

    @classmethod
    def of(cls, name: str, entries: Entries) -> "PartEntries":
        """From the codes."""
        latents, which = np.unique(entries.latent, return_inverse=True)
        totals = np.bincount(which, np.abs(entries.value), minlength=len(latents)).astype(np.float64)
        return cls(name, entries, latents, which, totals)


class ReadTime(NamedTuple):
    """What a text made an SAE say over time."""

    forward: Forward
    codes: dict[str, SparseCodes]
    """[T, F] by part."""
    energies: Float[Tensor, "T P"] | None
    """‖p‖² of each of the P parts; None where there is but one."""


@torch.no_grad()
def read_time(forward: Forward) -> ReadTime:
    """The parts of the code, those of the site that is asked for where sites have codes of their own."""
    codes, names = forward.codes(), parts_of(forward.sae)
    of_parts = {name: forward.placed.per_site(codes.sparse(name))[forward.number] for name in names or (WHOLE,)}
    return ReadTime(forward, of_parts, _energies(forward, codes, names) if len(names) > 1 else None)


def _energies(forward: Forward, codes: Codes, names: tuple[str, ...]) -> Float[Tensor, "T P"]:
    """‖what each part adds to the reconstruction‖² of each token, summed over output sites; float64 on the CPU."""
    decode = forward.sae.decode
    bias = decode(without_code(codes)).cpu().double()
    added = (decode(codes.with_all(codes.part(name))).cpu().double() - bias for name in names)
    return torch.stack([part.square().flatten(1).sum(1) for part in added], dim=1)


class Shown(NamedTuple):
    """What is asked for, and how long the reading took."""

    sae: str
    text: str
    n_rows: int
    """Latents of each part."""
    latent: int | None
    """Shown wherever it fires."""
    seconds: float


def time_reading(read: ReadTime, known: KnownLatents, shown: Shown) -> TimeReading:
    """The answer."""
    site, positions = str(read.forward.site), read.forward.text.positions()
    parts = [PartEntries.of(name, entries_of([code], positions)) for name, code in read.codes.items()]
    rows = [row for part in parts for row in _rows(part, known, shown, site)]
    return TimeReading(
        sae=shown.sae,
        text=shown.text,
        site=site,
        tokens=read.forward.text.shown(),
        parts=_parts(read, parts),
        rows=sorted(rows, key=lambda row: (row.peak, -abs(row.max), row.part, row.latent)),
        n_rows=sum(len(part.latents) for part in parts),
        why_no_energy=None if read.energies is not None else f"the code of {read.forward.asked.name} has no parts",
        truncated=read.forward.text.truncated,
        seconds=shown.seconds,
    )


def _rows(part: PartEntries, known: KnownLatents, shown: Shown, site: str) -> list[TimeRow]:
    order = np.lexsort((part.latents, -part.totals)).tolist()
    chosen = [m for place, m in enumerate(order) if place < shown.n_rows or part.latents[m] == shown.latent]
    key = known.part_key(None if part.name == WHOLE else part.name, site=site)
    rows = known.rows(key, part.latents[chosen].tolist())
    return [_row(part, m, key, rows.get(int(part.latents[m]))) for m in chosen]


def _row(part: PartEntries, m: int, key: str | None, known: LatentRow | None) -> TimeRow:
    here = part.entries.where(part.which == m)
    peak = int(np.abs(here.value).argmax())
    return TimeRow(
        part=part.name,
        latent=int(part.latents[m]),
        key=key,
        total=float(part.totals[m]),
        max=float(here.value[peak]),
        peak=int(here.position[peak]),
        positions=here.position.tolist(),
        values=shortened(here.value),
        density=known.density if known else None,
        explanation=known.explanation if known else None,
    )


def _parts(read: ReadTime, parts: Sequence[PartEntries]) -> list[PartOfPrompt]:
    shares = None if read.energies is None else shares_of(read.energies)
    of_text = None if read.energies is None else shares_of(read.energies.sum(0, keepdim=True))
    n_read = len(read.forward.text.positions())
    return [
        PartOfPrompt(
            name=part.name,
            n_fired=len(part.latents),
            l0=len(part.entries.value) / n_read,
            energy=_spread(read, None if shares is None else shares[:, i]),
            energy_of_text=None if of_text is None else _finite(of_text[0, i].item()),
        )
        for i, part in enumerate(parts)
    ]


def shares_of(energies: Float[Tensor, "T P"]) -> Float[Tensor, "T P"]:
    """Of each row, the share of each part; NaN where no part has any."""
    return energies / energies.sum(1, keepdim=True)


def _spread(read: ReadTime, shares: Float[Tensor, " T"] | None) -> list[float | None]:
    """One for each token of the text, null on those that the SAE does not read."""
    found: list[float | None] = [None] * len(read.forward.text.ids)
    if shares is not None:
        for position, share in zip(read.forward.text.positions().tolist(), shares.tolist(), strict=True):
            found[position] = _finite(share)
    return found


def _finite(number: float) -> float | None:
    return number if math.isfinite(number) else None
