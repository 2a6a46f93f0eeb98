"""What a user sets about asking a judge: which one, how, and for how much money at most."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from monoseme.core.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class DeskSettings:
    """How questions are asked, whoever the judge is."""

    budget: float | None = None
    """US dollars that all questions of the folder may cost together, those of earlier commands included. What is on its way
    counts as the most it can cost, so that the budget is never passed. None: no limit."""
    batch: bool = False
    """Send questions as batches: for less (half the price at Anthropic and OpenAI), answered within a day."""
    concurrency: int = 8
    """Questions that are on their way at a time, without batch (count)."""
    requests_per_minute: float | None = None
    """Questions sent in a minute at most, without batch. None: as many as the provider takes."""
    tokens_per_minute: float | None = None
    """Tokens sent in a minute at most, by their estimate, without batch. None: as many as the provider takes."""
    prices: Path | None = None
    """A table of prices that goes before our own: monoseme/judges/prices.toml shows how it is written. None: ours alone."""
    again: bool = False
    """Ask again where an earlier answer is of no use (refused, cut off, not what was asked for). It costs again."""
    poll_seconds: float = 30.0
    """Time between looks at a batch that is not done."""
    settle_seconds: float = 60.0
    """Age of a batch whose sending was cut off at which the provider must know of it, if it arrived at all."""

    def __post_init__(self) -> None:
        if self.concurrency < 1:
            raise ConfigError(f"desk.concurrency must be at least 1, not {self.concurrency}")
        for name in ("budget", "requests_per_minute", "tokens_per_minute"):
            value = getattr(self, name)
            if value is not None and not 0 < value < math.inf:  # nor NaN, which no sum is ever above
                raise ConfigError(f"desk.{name} must be finite and above 0, not {value}")
        for name in ("poll_seconds", "settle_seconds"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ConfigError(f"desk.{name} must be finite and 0 or more, not {getattr(self, name)}")


@dataclass(frozen=True, kw_only=True)
class JudgeSettings:
    """A judge with how it is asked: what `desk_of` makes a desk from."""

    judge: str
    """Plug-in that answers: monoseme ls judges."""
    config: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Settings of that plug-in by name, such as model. Never a key: keys come from the environment."""
    desk: DeskSettings = field(default_factory=DeskSettings)
    """How questions are asked."""
