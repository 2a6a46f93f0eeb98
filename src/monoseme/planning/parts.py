"""What a process holds on each device: parts that stand, and of what passes only the largest."""

from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple

import torch

from monoseme.planning.figure import Figure, Found, amount, total

HOST = "cpu"
"""The machine's own memory, which devices of Apple share."""
Home = Literal["host", "model", "saes"]
"""Whose memory something lies in."""
CONTEXT_BYTES = 0.5e9
"""What CUDA takes on each device before the first tensor: its context, and the kernels and workspaces of cuBLAS. Assumed: drivers
and devices differ by some hundred megabytes."""


class Part(NamedTuple):
    """Some bytes, and where."""

    name: str
    value: float
    home: Home
    note: str
    found: Found = "computed"

    @property
    def figure(self) -> Figure:
        """As it is told."""
        return Figure(name=self.name, value=self.value, unit="bytes", found=self.found, note=self.note)


class MemoryParts(NamedTuple):
    """What a process holds on one device at its peak."""

    parts: list[Figure]
    """What stands."""
    passing: Figure | None
    """The largest of what passes; None where nothing does."""

    @property
    def figures(self) -> list[Figure]:
        """All, in order."""
        return self.parts if self.passing is None else [*self.parts, self.passing]

    @property
    def peak(self) -> Figure:
        """All together."""
        return total("peak memory", self.figures)

    def part(self, name: str) -> Figure | None:
        """One of the parts that stand."""
        return next((part for part in self.parts if part.name == name), None)


class Homes(NamedTuple):
    """Names of the devices that a run uses, as memory goes."""

    model: str
    saes: str

    @classmethod
    def of(cls, model: str, saes: str | None = None) -> "Homes":
        """Those of settings; `saes` None: where the model is."""
        return cls(memory_of(model), memory_of(saes or model))

    def device(self, home: Home) -> str:
        """The device of a part."""
        return {"host": HOST, "model": self.model, "saes": self.saes}[home]

    @property
    def accelerators(self) -> tuple[str, ...]:
        """Devices with a memory of their own, each once."""
        return tuple(dict.fromkeys(device for device in (self.model, self.saes) if device != HOST))


def memory_of(device: str) -> str:
    """Whose memory a device uses: `cuda` is `cuda:0`, `mps` is the machine's."""
    found = torch.device(device)
    return f"cuda:{found.index or 0}" if found.type == "cuda" else HOST


def by_device(
    homes: Homes,
    standing: Sequence[Part],
    *,
    learning: Sequence[Part] = (),
    passing: Sequence[Part] = (),
    early: Sequence[Part] = (),
) -> dict[str, MemoryParts]:
    """The parts on each device. `passing` come one at a time beside `learning`; `early` one at a time before that is there."""
    found: dict[str, MemoryParts] = {}
    for device in (HOST, *homes.accelerators):
        here = [_there(parts, homes, device) for parts in (standing, learning, passing, early)]
        context = [] if device == HOST else [_CONTEXT]
        found[device] = _at_peak([*context, *here[0]], *here[1:])
    return found


def _there(parts: Iterable[Part], homes: Homes, device: str) -> list[Part]:
    return [part for part in parts if homes.device(part.home) == device]


def _at_peak(standing: list[Part], learning: list[Part], passing: list[Part], early: list[Part]) -> MemoryParts:
    later = sum(part.value for part in learning) + max((part.value for part in passing), default=0)
    first = max(early, key=lambda part: part.value, default=None)
    if first is not None and first.value > later:
        return MemoryParts([part.figure for part in standing], first.figure)
    parts = [part.figure for part in [*standing, *learning]]
    if not passing:
        return MemoryParts(parts, None)
    largest = max(passing, key=lambda part: part.value)
    note = "the largest of: " + ", ".join(f"{part.name} {amount(part.value, 'bytes')}" for part in passing)
    return MemoryParts(parts, largest._replace(name=f"passing: {largest.name}", note=note).figure)


_CONTEXT = Part("CUDA itself", CONTEXT_BYTES, "model", "context, kernels, workspaces: assumed", "estimated")
