"""A plan: everything said of a run before it begins, and whether it fits."""

from dataclasses import dataclass, field
from typing import Any

from monoseme.planning.figure import Figure

GROUPS = ("disk", "memory", "work", "speed", "time", "cost")


@dataclass(frozen=True, kw_only=True)
class Problem:
    """Something that does not fit."""

    what: str
    """In a sentence: what is needed, what there is."""
    would_fit: tuple[str, ...]
    """Flags, each of which would make it fit."""

    def to_json(self) -> dict[str, Any]:
        """JSON-able."""
        return {"what": self.what, "would_fit": list(self.would_fit)}


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The numbers by group, and what is wrong with them."""

    verb: str
    figures: dict[str, list[Figure]]
    """By the names in GROUPS."""
    problems: tuple[Problem, ...] = ()
    remarks: tuple[str, ...] = field(default=())
    """What the reader should know besides."""

    @property
    def fits(self) -> bool:
        """Whether nothing stands in its way."""
        return not self.problems

    def figure(self, group: str, name: str) -> Figure:
        """One number. Raises KeyError."""
        for figure in self.figures.get(group, []):
            if figure.name == name:
                return figure
        raise KeyError(f"{group}: {name}")

    def to_json(self) -> dict[str, Any]:
        """JSON-able: every number with its unit and how it was found, or why it is missing."""
        return {
            "verb": self.verb,
            "fits": self.fits,
            "figures": {group: [figure.to_json() for figure in found] for group, found in self.figures.items()},
            "problems": [problem.to_json() for problem in self.problems],
            "remarks": list(self.remarks),
        }

    @property
    def refusal(self) -> str:
        """What does not fit, and what would, as one message."""
        lines: list[str] = []
        for problem in self.problems:
            lines += [problem.what]
            lines += [f"  This would fit:  {flag}" for flag in problem.would_fit]
        return "\n".join(lines)
