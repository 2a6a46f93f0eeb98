"""Stages put together: from a model and some text to a run's folder of artifacts."""

import importlib
from typing import TYPE_CHECKING, Any

from monoseme.pipeline._folder import RUN_FILE, RunFolder

if TYPE_CHECKING:
    from monoseme.pipeline._atlas import explain_run, scan_run
    from monoseme.pipeline._config import (
        AtlasConfig,
        RunConfig,
        RunSettings,
        StreamConfig,
        run_config_from_dict,
        run_config_to_dict,
    )
    from monoseme.pipeline._evaluate import evaluate_run, headline, measure, run_config
    from monoseme.pipeline._explain_config import ExplainConfig
    from monoseme.pipeline._materials import Materials
    from monoseme.pipeline._report import report_run
    from monoseme.pipeline._run import run_all
    from monoseme.pipeline._saes import NamedSae, open_sae, open_saes
    from monoseme.pipeline._train import train_run

__all__ = [
    "RUN_FILE",
    "AtlasConfig",
    "ExplainConfig",
    "Materials",
    "NamedSae",
    "RunConfig",
    "RunFolder",
    "RunSettings",
    "StreamConfig",
    "evaluate_run",
    "explain_run",
    "headline",
    "measure",
    "open_sae",
    "open_saes",
    "report_run",
    "run_all",
    "run_config",
    "run_config_from_dict",
    "run_config_to_dict",
    "scan_run",
    "train_run",
]

_HOMES = {
    "AtlasConfig": "_config",
    "ExplainConfig": "_explain_config",
    "Materials": "_materials",
    "NamedSae": "_saes",
    "RunConfig": "_config",
    "RunSettings": "_config",
    "StreamConfig": "_config",
    "evaluate_run": "_evaluate",
    "explain_run": "_atlas",
    "headline": "_evaluate",
    "measure": "_evaluate",
    "open_sae": "_saes",
    "open_saes": "_saes",
    "report_run": "_report",
    "run_all": "_run",
    "run_config": "_evaluate",
    "run_config_from_dict": "_config",
    "run_config_to_dict": "_config",
    "scan_run": "_atlas",
    "train_run": "_train",
}


def __getattr__(name: str) -> Any:
    """Imports what needs torch when it is first asked for."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
