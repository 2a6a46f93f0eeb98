"""What models cost: a table with the date and the source of each price, ours or the user's.

A table is a TOML, JSON or YAML file with a list `price`; `prices.toml` beside this file is ours. A model that no table names has
no price: nothing is guessed from a name that is like it, save that a date at its end is left out (claude-haiku-4-5-20251001).
"""

import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from monoseme.core.config import from_dict, load_file
from monoseme.core.errors import ConfigError
from monoseme.judges._base import Reply

_OURS = Path(__file__).with_name("prices.toml")
_DATE = re.compile(r"-(?:\d{8}|\d{4}-\d{2}-\d{2})$")
_TOKENS = 1e6
"""Prices are for a million tokens."""


@dataclass(frozen=True, kw_only=True)
class Price:
    """US dollars for a million tokens of one model."""

    model: str
    """The provider's name of it, without a date."""
    input: float
    """For tokens of the question."""
    output: float
    """For tokens of the answer, those of hidden reasoning included."""
    cached_input: float | None = None
    """For tokens that the provider read from its cache. None: as `input`."""
    cache_write: float | None = None
    """For tokens that the provider wrote into its cache. None: as `input`."""
    long_from: int | None = None
    """Input tokens (count) above which the whole request is dearer. None: there is no such rule."""
    long_factor: float = 1.0
    """How many times dearer, at most."""
    read: str
    """Day on which the price was read, as 2026-11-22."""
    source: str
    """Where it was read."""

    def __post_init__(self) -> None:
        for name in ("input", "output", "cached_input", "cache_write", "long_factor"):
            value = getattr(self, name)
            if value is not None and value < 0:
                raise ConfigError(f"the price of {self.model} has {name} = {value}; it must be 0 or more")

    def __str__(self) -> str:
        return f"${self.input:g} in, ${self.output:g} out for a million tokens of {self.model} (read {self.read}: {self.source})"

    def cost(self, reply: Reply, *, share: float = 1.0) -> float:
        """US dollars for a reply; `share` is what a batch costs of the normal price."""
        cached = self.input if self.cached_input is None else self.cached_input
        written = self.input if self.cache_write is None else self.cache_write
        inputs = reply.input_tokens * self.input + reply.cached_input_tokens * cached + reply.written_input_tokens * written
        n_input = reply.input_tokens + reply.cached_input_tokens + reply.written_input_tokens
        return (inputs + reply.output_tokens * self.output) * self._factor(n_input) * share / _TOKENS

    def most(self, *, input_tokens: int, output_tokens: int, share: float = 1.0) -> float:
        """US dollars that so many tokens can cost at most, whatever the provider's cache does."""
        dearest = max(self.input, self.cached_input or 0.0, self.cache_write or 0.0)
        return (input_tokens * dearest + output_tokens * self.output) * self._factor(input_tokens) * share / _TOKENS

    def _factor(self, n_input: int) -> float:
        return self.long_factor if self.long_from is not None and n_input > self.long_from else 1.0


def price_of(model: str, *, table: Path | None = None) -> Price | None:
    """The price of a model by its name, the user's table before ours; None where neither has it.

    Raises ConfigError for a table that cannot be read.
    """
    prices: Mapping[str, Price] = _read(_OURS) if table is None else {**_read(_OURS), **_read(table)}
    return prices.get(model) or prices.get(_DATE.sub("", model))


@functools.cache
def _read(path: Path) -> dict[str, Price]:
    rows: Any = load_file(path).get("price")
    if not isinstance(rows, list) or not rows:
        raise ConfigError(f"{path} holds no list named price.\n  Write it like our own:  {_OURS}")
    found = [from_dict(Price, row, where=f"{path}: price[{i}]") for i, row in enumerate(rows)]
    return {price.model: price for price in found}
