"""Every kind of plug-in by its name, as `monoseme ls` lists them. Importing this imports the registries, and no plug-in."""

from typing import Any

from monoseme.activations.formats import ACTIVATION_FORMATS
from monoseme.atlas.explain import EXPLAINERS
from monoseme.atlas.formats import ATLAS_FORMATS
from monoseme.atlas.score import SCORERS
from monoseme.core.config import suggest
from monoseme.core.errors import ConfigError
from monoseme.core.registry import Registry
from monoseme.evaluation import EVALUATIONS
from monoseme.interchange import SAE_FORMATS
from monoseme.judges import JUDGES
from monoseme.models import FAMILIES
from monoseme.presets import PRESETS
from monoseme.saes import SAES
from monoseme.steering import STEERING
from monoseme.studies import STUDIES
from monoseme.training.trackers import TRACKERS

_ALL = (
    SAES,
    EVALUATIONS,
    FAMILIES,
    SAE_FORMATS,
    ACTIVATION_FORMATS,
    EXPLAINERS,
    SCORERS,
    ATLAS_FORMATS,
    JUDGES,
    STEERING,
    TRACKERS,
    PRESETS,
    STUDIES,
)
KINDS: dict[str, Registry[Any]] = {registry.kind: registry for registry in _ALL}
"""In the order in which they are listed."""


def registry_of(kind: str) -> Registry[Any]:
    """The plug-ins of one kind. Raises ConfigError with the kinds that there are."""
    if kind not in KINDS:
        raise ConfigError(f'there is no kind "{kind}".{suggest(kind, KINDS)}\n  Allowed: {", ".join(KINDS)}')
    return KINDS[kind]
