"""The memory of a plan as it is told: for each device its parts, the peak, and what is free."""

from collections.abc import Mapping
from typing import Any

from monoseme.planning.figure import Figure, amount, missing
from monoseme.planning.parts import CONTEXT_BYTES, HOST, MemoryParts
from monoseme.planning.resources import Resources


def memory_table(
    memory: Mapping[str, MemoryParts], peaks: Mapping[str, Figure], free: Resources, *, compiling: float | None = None
) -> list[Figure]:  # fmt: skip
    """A line for each part. `compiling`: what a probe held that compiled kernels first (bytes)."""
    found: list[Figure] = []
    for device, parts in memory.items():
        found += [_placed(part, device) for part in parts.figures]
        if compiling is not None and device == HOST:
            note = "once on a machine; later runs find them compiled, and the peak is theirs"
            found.append(Figure(name="while kernels compile", value=compiling, unit="bytes", found="measured", note=note))
        whose = "of this machine" if device == HOST else "of the device"
        found += [peaks[device], free_figure(f"free memory{_of(device)}", free.of(device), whose)]
    return found


def _placed(part: Figure, device: str) -> Figure:
    if device == HOST:
        return part
    return Figure(name=part.name, value=part.value, unit=part.unit, found=part.found, note=f"on {device}: {part.note}")


def total_figures(memory: Mapping[str, MemoryParts]) -> dict[str, Figure]:
    """Peak of each device by the sum of its parts."""
    return {
        device: _peak(device, parts.peak, "" if device == HOST else "computed, not measured here")
        for device, parts in memory.items()
    }


def device_peaks(facts: Mapping[str, Any]) -> dict[str, Figure]:
    """Peaks of the CUDA devices that a probe used: what torch allocated, and CUDA itself."""
    found: dict[str, Figure] = {}
    for device, allocated in facts["device_peaks"].items():
        note = (
            f"the probe allocated {amount(allocated, 'bytes')}; CUDA itself is assumed to take {amount(CONTEXT_BYTES, 'bytes')}"
        )
        value = allocated + CONTEXT_BYTES
        found[device] = Figure(name=peak_name(device), value=value, unit="bytes", found="measured", note=note)
    return found


def _peak(device: str, peak: Figure, note: str) -> Figure:
    return Figure(
        name=peak_name(device), value=peak.value, unit="bytes", found=peak.found, note=note, why_missing=peak.why_missing
    )


def peak_name(device: str) -> str:
    """What the peak of a device is called."""
    return f"peak memory{_of(device)}"


def place(device: str) -> str:
    """` on cuda:0`; nothing for the machine's own."""
    return "" if device == HOST else f" on {device}"


def _of(device: str) -> str:
    return "" if device == HOST else f" of {device}"


def free_figure(name: str, value: float | None, note: str) -> Figure:
    """What there is, beside what is needed."""
    if value is None:
        why = (
            "there is no such device here; say what it has with --plan.memory_gb"
            if "cuda" in name
            else "the system does not tell"
        )
        return missing(name, "bytes", why)
    return Figure(name=name, value=value, unit="bytes", found="measured", note=note)
