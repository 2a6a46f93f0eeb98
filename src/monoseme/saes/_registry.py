"""The architectures by name, and their configs as plain values. Imports no torch: listing must stay light."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from monoseme.core.config import from_dict, to_dict
from monoseme.core.errors import ConfigError
from monoseme.core.registry import Registry

if TYPE_CHECKING:
    from monoseme.saes._base import SAE

SAES: "Registry[SAE]" = Registry(kind="saes", package="monoseme.saes", base="monoseme.saes._base:SAE")
ARCHITECTURE = "architecture"
"""The key under which a config's plain form names its class."""


def config_to_dict(config: "SAE.Config") -> dict[str, Any]:
    """The config as JSON-able values, with the name of its architecture."""
    return {ARCHITECTURE: config.plugin_name, **to_dict(config)}


def config_from_dict(data: Mapping[str, Any], *, where: str = "sae") -> "SAE.Config":
    """The inverse of `config_to_dict`; only that architecture's file is imported.

    Raises ConfigError for a missing architecture or an unknown setting, UnknownPluginError for an unknown architecture.
    """
    if ARCHITECTURE not in data:
        raise ConfigError(f'{where} lacks "{ARCHITECTURE}".\n  Allowed: {", ".join(SAES.names())}')
    settings = {key: value for key, value in data.items() if key != ARCHITECTURE}
    return from_dict(SAES.get(data[ARCHITECTURE]).Config, settings, where=where)


def build(config: "SAE.Config") -> "SAE":
    """A new SAE of that config, with its seeded start. Raises ConfigError when d_in is not known yet."""
    return SAES.get(config.plugin_name)(config)
