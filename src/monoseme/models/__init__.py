"""Language models: sites, edits, capture, generation. What needs torch is imported when it is first asked for."""

import importlib
from typing import TYPE_CHECKING, Any

from monoseme.models._env import HubSettings, hub_settings, read_env
from monoseme.models._registry import families
from monoseme.models.config import ModelConfig
from monoseme.models.site import KINDS, WRITES_RESIDUAL, Site, expand_sites

if TYPE_CHECKING:
    from monoseme.models._family import Anatomy, Family
    from monoseme.models._generate import Generation, Sampling, TokenEvent
    from monoseme.models.edit import Edit, EditContext, FunctionEdit, replacement
    from monoseme.models.language_model import LanguageModel, RunOutput
    from monoseme.models.spec import ModelSpec

__all__ = [
    "KINDS",
    "WRITES_RESIDUAL",
    "Anatomy",
    "Edit",
    "EditContext",
    "Family",
    "FunctionEdit",
    "Generation",
    "HubSettings",
    "LanguageModel",
    "ModelConfig",
    "ModelSpec",
    "RunOutput",
    "Sampling",
    "Site",
    "TokenEvent",
    "expand_sites",
    "families",
    "hub_settings",
    "read_env",
    "replacement",
]

_HOMES = {
    "Anatomy": "_family",
    "Edit": "edit",
    "EditContext": "edit",
    "Family": "_family",
    "FunctionEdit": "edit",
    "Generation": "_generate",
    "LanguageModel": "language_model",
    "ModelSpec": "spec",
    "RunOutput": "language_model",
    "Sampling": "_generate",
    "TokenEvent": "_generate",
    "replacement": "edit",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
