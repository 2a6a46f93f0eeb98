"""Presets: one file each, whose `config()` returns a complete run config and does nothing else."""

import importlib
from typing import TYPE_CHECKING

from monoseme.core.registry import Registry

if TYPE_CHECKING:
    from monoseme.pipeline import RunConfig

__all__ = ["PRESETS", "preset"]

PRESETS: Registry[object] = Registry(kind="presets", package="monoseme.presets", base="builtins:object")
"""Their names and summaries; `preset` gives the config of one."""


def preset(name: str) -> "RunConfig":
    """The run config of that name. Raises UnknownPluginError with a suggestion."""
    return importlib.import_module(PRESETS.source(name)).config()
