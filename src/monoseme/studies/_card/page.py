"""The card as tables and a figure."""

from collections.abc import Sequence

from monoseme.reports.figures import Estimate, Figure, interval_dots
from monoseme.studies._base import Row
from monoseme.studies._card.lines import Line

_ARROWS = {"higher": "↑", "lower": "↓", "neither": ""}


def columns_of(lines: Sequence[Line], names: Sequence[str]) -> list[str]:
    """The SAEs, then every control that any line has."""
    others = dict.fromkeys(name for line in lines for name in line.values)
    return list(dict.fromkeys([*names, *others]))


def card_rows(lines: Sequence[Line], names: Sequence[str]) -> list[Row]:
    """A row for each line, a column for each dictionary."""
    columns = columns_of(lines, names)
    return [
        {"measure": _heading(line)} | {name: str(line.values[name]) if name in line.values else "–" for name in columns}
        for line in lines
    ]


def meaning_rows(lines: Sequence[Line]) -> list[Row]:
    """What each line says; a column of the card itself would push the numbers off the page."""
    return [{"measure": _heading(line), "what it says": line.says} for line in lines]


def _heading(line: Line) -> str:
    return f"{line.label} {_ARROWS[line.better]}".rstrip()


def dots(lines: Sequence[Line], names: Sequence[str]) -> Figure | None:
    """One panel for each line, a row for each dictionary; None where nothing has a value."""
    estimates = [
        Estimate(name, value.value, value.low, value.high, panel=_heading(line))
        for line in lines
        if line.better != "neither" and line.key != "l0"
        for name in columns_of(lines, names)
        if (value := line.values.get(name)) is not None and value.value is not None
    ]
    if not estimates:
        return None
    return interval_dots(
        "card",
        estimates,
        title="The card at a glance",
        caption="A panel for each line that can be good or bad; arrows say which way is better. Dots are values, bars 95 % "
        "intervals. The rows below the SAEs are controls: what an SAE does not do better than they at like L0, it has not "
        "learned.",
        columns=3,
    )
