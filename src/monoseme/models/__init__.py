"""Language models: sites, edits, capture, generation. What needs torch is imported when it is first asked for."""

from typing import TYPE_CHECKING

from monoseme.core.lazy import lazy_attributes
from monoseme.models._env import HubSettings, hub_settings, read_env
from monoseme.models._registry import FAMILIES
from monoseme.models.config import ModelConfig
from monoseme.models.site import KINDS, WRITES_RESIDUAL, Site, expand_sites

if TYPE_CHECKING:
    from monoseme.models._family import Anatomy, Family
    from monoseme.models._generate import Generation, GenerationRequest, Sampling, TokenEvent
    from monoseme.models._generating import Generating, Ongoing
    from monoseme.models._loading import device_of
    from monoseme.models.edit import Edit, EditContext, FunctionEdit, Look, replacement
    from monoseme.models.language_model import LanguageModel, RunOutput
    from monoseme.models.spec import ModelSpec

__all__ = [
    "FAMILIES",
    "KINDS",
    "WRITES_RESIDUAL",
    "Anatomy",
    "Edit",
    "EditContext",
    "Family",
    "FunctionEdit",
    "Generating",
    "Generation",
    "GenerationRequest",
    "HubSettings",
    "LanguageModel",
    "Look",
    "ModelConfig",
    "ModelSpec",
    "Ongoing",
    "RunOutput",
    "Sampling",
    "Site",
    "TokenEvent",
    "device_of",
    "expand_sites",
    "hub_settings",
    "read_env",
    "replacement",
]

__getattr__ = lazy_attributes(
    __name__,
    {
        "_family": ["Anatomy", "Family"],
        "_loading": ["device_of"],
        "_generate": ["Generation", "GenerationRequest", "Sampling", "TokenEvent"],
        "_generating": ["Generating", "Ongoing"],
        "edit": ["Edit", "EditContext", "FunctionEdit", "Look", "replacement"],
        "language_model": ["LanguageModel", "RunOutput"],
        "spec": ["ModelSpec"],
    },
)
