"""Who takes part in a study: a config for each architecture, or the reason why it is left out."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from monoseme.core.errors import MonosemeError
from monoseme.saes import SAE, SAES
from monoseme.studies._survivors import error_line

Settings = Mapping[str, Any]


class LineUp(NamedTuple):
    """The architectures of a study."""

    configs: dict[str, Any]
    """Name -> its config."""
    left_out: dict[str, str]
    """Name -> why."""


class House(NamedTuple):
    """A study's own rules for architectures; those it does not name get the common settings only."""

    common: Settings
    """For every architecture that has the setting."""
    own: Mapping[str, Settings]
    """For one architecture, on top."""
    left_out: Mapping[str, str]
    """Architecture -> why it takes no part."""


def line_up(names: Sequence[str] | None, house: House) -> LineUp:
    """Configs of the named architectures, all registered ones for None; one that cannot be configured is left out with its error.

    Raises UnknownPluginError for a name that does not exist.
    """
    configs: dict[str, Any] = {}
    left_out: dict[str, str] = {}
    for name in SAES.names() if names is None else names:
        SAES.source(name)
        if name in house.left_out:
            left_out[name] = house.left_out[name]
            continue
        try:
            configs[name] = config_of(SAES.get(name), house.common, house.own.get(name, {}))
        except (MonosemeError, TypeError) as error:
            left_out[name] = error_line(error)
    return LineUp(configs, left_out)


def config_of(architecture: type[SAE], common: Settings, own: Settings) -> SAE.Config:
    """The config with the common settings that it has, and its own. Raises ConfigError, TypeError for an unknown own setting."""
    known = {field.name for field in dataclasses.fields(architecture.Config)}
    settings: dict[str, Any] = {key: value for key, value in common.items() if key in known} | dict(own)
    return architecture.Config(**settings)
