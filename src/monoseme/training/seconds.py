"""Where the time of a run went, in parts that add up to the whole, and how many tokens per second each part lets through.

A GPU's work counts for whatever waits for it: the next row of metrics at the latest.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, NamedTuple, Self

from monoseme.activations import SourceSeconds


class Part(NamedTuple):
    """One part of a run."""

    name: str
    seconds: float
    share: float
    """Of the whole, in [0, 1]."""
    tokens_per_second: float | None
    """Tokens learned from, if nothing else took time; None for a part that took none."""


@dataclass
class Seconds:
    """Where the time of a run went (seconds)."""

    reading: float = 0.0
    """Waiting for text: reading, tokenising, packing; part of `stream` unless blocks are made ahead."""
    model: float = 0.0
    """In the language model; part of `stream` unless blocks are made ahead."""
    waiting: float | None = None
    """Until blocks of another thread were there, in which `reading` and `model` ran; part of `stream`. None: no such thread."""
    stream: float = 0.0
    """Until a batch was there."""
    saes: float = 0.0
    """In the steps of the SAEs."""
    starting: float = 0.0
    """Measuring what the SAEs start from, their scale and decoder bias, and compiling kernels where none are kept."""
    validation: float = 0.0
    checkpoints: float = 0.0
    total: float = 0.0
    """All of these and the loop itself."""

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Of a checkpoint; parts that an older one did not count are 0."""
        return cls(**{field.name: data[field.name] for field in fields(cls) if field.name in data})

    def copy(self) -> "Seconds":
        """The same numbers, to be compared with later."""
        return Seconds(**asdict(self))

    def add_source(self, before: SourceSeconds, after: SourceSeconds) -> None:
        """Counts what a source spent between two moments."""
        self.reading += after.reading - before.reading
        self.model += after.model - before.model
        if after.waiting is not None:
            self.waiting = (self.waiting or 0.0) + after.waiting - (before.waiting or 0.0)

    def parts(self, n_tokens: int) -> list[Part]:
        """The parts of the time on the clock; they add up to `total`. What ran beside the rest in a thread is not among them."""
        made = {"reading and tokenising": self.reading, "model": self.model}
        if self.waiting is not None:
            made = {"waiting for the model": self.waiting}
        named = {
            **made,
            "shuffling": max(0.0, self.stream - sum(made.values())),
            "SAEs": self.saes,
            "starting": self.starting,
            "validation": self.validation,
            "checkpoints": self.checkpoints,
        }
        named["other"] = max(0.0, self.total - sum(named.values()))
        return [Part(name, seconds, seconds / max(self.total, 1e-9), rate(n_tokens, seconds)) for name, seconds in named.items()]


def rate(n_tokens: int, seconds: float) -> float | None:
    """Tokens per second; None where no time was taken."""
    return n_tokens / seconds if seconds > 0 else None
