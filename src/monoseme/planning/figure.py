"""A number of a plan: its value, its unit and how it was found; or why it is missing."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal

Found = Literal["exact", "measured", "computed", "estimated"]
"""exact: follows from settings and text, to the byte. measured: by the probe or on this machine, taken to the whole run.
computed: from sizes by a formula. estimated: rests on an assumption that `note` states."""
Unit = Literal["bytes", "FLOP", "FLOP/s", "seconds", "tokens", "tokens/s", "bytes/s", "steps", "money"]
_WEAKNESS: Final[tuple[Found, ...]] = ("exact", "measured", "computed", "estimated")
_STEPS = {"bytes": "B", "FLOP": "FLOP", "FLOP/s": "FLOP/s", "bytes/s": "B/s"}
_PREFIXES = ("", "k", "M", "G", "T", "P", "E")


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One number."""

    name: str
    value: float | None
    unit: Unit
    found: Found | None
    """How; None where there is no value."""
    note: str = ""
    """The formula or the assumption."""
    why_missing: str = ""
    """Only without a value."""

    def __post_init__(self) -> None:
        """A value has a way in which it was found; one that is missing has a reason."""
        if (self.value is None) == (self.found is not None) or (self.value is None) != bool(self.why_missing):
            raise AssertionError(f"{self.name}: a value has `found`, a missing one `why_missing`")

    def to_json(self) -> dict[str, Any]:
        """JSON-able; empty remarks left out."""
        return {key: value for key, value in asdict(self).items() if value != ""}

    @property
    def text(self) -> str:
        """The value as people read it; a dash where it is missing."""
        return "–" if self.value is None else amount(self.value, self.unit)


def missing(name: str, unit: Unit, why: str) -> Figure:
    """A number that cannot be known."""
    return Figure(name=name, value=None, unit=unit, found=None, why_missing=why)


def total(name: str, parts: Iterable[Figure], *, note: str = "") -> Figure:
    """The sum of figures of one unit, found as its weakest part was; missing where a part is."""
    parts = list(parts)
    unit = parts[0].unit
    lacking = [part for part in parts if part.value is None]
    if lacking:
        return missing(name, unit, f"{lacking[0].name} is not known: {lacking[0].why_missing}")
    ways = {part.found for part in parts}
    found: Found = next(way for way in reversed(_WEAKNESS) if way in ways)
    return Figure(name=name, value=sum(part.value or 0 for part in parts), unit=unit, found=found, note=note)


def amount(value: float, unit: Unit) -> str:
    """`1.25 GB`, `3 min 20 s`, `12,345 tokens/s`: three significant digits, powers of 1000."""
    if unit == "seconds":
        return duration(value)
    if unit in _STEPS:
        return _prefixed(value, _STEPS[unit])
    if unit == "money":
        return f"{value:,.2f}"
    return f"{round(value):,} {unit}" if value >= 100 else f"{value:.3g} {unit}"


def duration(seconds: float) -> str:
    """`0.8 s`, `3 min 20 s`, `2 h 5 min`, `3 d 4 h`."""
    if seconds < 60:
        return f"{seconds:.2g} s" if seconds < 10 else f"{seconds:.0f} s"
    for long, short, large, small in ((60, 1, "min", "s"), (3600, 60, "h", "min"), (86400, 3600, "d", "h")):
        if seconds < 60 * long or long == 86400 or (long == 3600 and seconds < 86400):
            whole = int(seconds // long)
            rest = round((seconds - whole * long) / short)
            return f"{whole} {large} {rest} {small}" if rest else f"{whole} {large}"
    raise AssertionError("every duration has a unit")


def _prefixed(value: float, unit: str) -> str:
    power = 0
    while value >= 999.5 and power < len(_PREFIXES) - 1:
        value, power = value / 1000, power + 1
    text = f"{value:.0f}" if power == 0 or value >= 99.95 else f"{value:.3g}"
    return f"{text} {_PREFIXES[power]}{unit}"
