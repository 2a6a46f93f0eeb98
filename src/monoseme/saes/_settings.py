"""Settings that several architectures have: what they may be, and that none is set in vain."""

from dataclasses import fields
from typing import Any

from monoseme.core.errors import ConfigError


def aim_k(config: Any) -> None:
    """Sets the `k` of a config that is being made from its `target_l0`, where one is given: what is aimed at is what is kept."""
    if config.target_l0 is not None:
        object.__setattr__(config, "k", max(1, round(config.target_l0)))  # the way to fill in a frozen config


def check_k(k: int, *, n_latents: int) -> None:
    """Raises ConfigError unless 1 <= k <= n_latents."""
    if not 1 <= k <= n_latents:
        raise ConfigError(f"k is {k}; it must be from 1 to n_latents = {n_latents}")


def check_coefficient(name: str, value: float | None) -> None:
    """Raises ConfigError for a negative one (or NaN)."""
    if value is not None and not value >= 0:
        raise ConfigError(f"{name} is {value}; it must be at least 0 (0 turns that term off)")


def refuse_unused(config: Any, *names: str, because: str) -> None:
    """Raises ConfigError if one of these settings is not at its default: what is set must have an effect."""
    defaults = {setting.name: setting.default for setting in fields(config)}
    for name in names:
        if getattr(config, name) != defaults[name]:
            raise ConfigError(f"{name} is {getattr(config, name)}, which nothing uses: {because}. Leave it out")
