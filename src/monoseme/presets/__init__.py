"""Presets: one file each, whose `config()` returns a complete run config and does nothing else."""

import importlib
from typing import TYPE_CHECKING

from monoseme.core.registry import Registry

if TYPE_CHECKING:
    from monoseme.pipeline import RunConfig, RunSettings
    from monoseme.saes import SAE

__all__ = ["PRESETS", "own_saes", "preset"]

PRESETS: Registry[object] = Registry(kind="presets", package="monoseme.presets", base="builtins:object")
"""Their names and summaries; `preset` gives the config of one."""


def preset(name: str) -> "RunConfig":
    """The run config of that name. Raises UnknownPluginError with a suggestion."""
    return importlib.import_module(PRESETS.source(name)).config()


def own_saes(recipe: "RunConfig", settings: "RunSettings") -> "tuple[SAE.Config, ...]":
    """What a preset's config trains under these settings where nobody names SAEs: its own, and none if a run learns on.

    SAEs to learn on (`start_from`) take the place of a preset's own, which are new and mostly of the same name.
    """
    return () if settings.start_from else tuple(recipe.saes)
