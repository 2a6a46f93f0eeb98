"""Which SAE learns where: the places of a model dealt out to the architectures of a run, and a name for each SAE."""

import dataclasses
from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

from monoseme.core.config import to_dict
from monoseme.core.errors import ConfigError
from monoseme.models import Site
from monoseme.pipeline._beside import Places
from monoseme.saes import SAE, SAES

_PLACES = {"sites", "n_sites"}
"""Settings that a name tells as a place."""


class PlacedConfig(NamedTuple):
    """One SAE to train."""

    name: str
    config: SAE.Config
    """With its sites, and their number where the architecture asks for it."""
    sites: tuple[Site, ...]


def placed_configs(
    saes: Sequence[SAE.Config], run_sites: Sequence[str] | None, spec: Places, *, default: Sequence[str] | None = None
) -> list[PlacedConfig]:
    """One entry for each SAE that the configs mean, those of one place before those of the next.

    An architecture of one site is trained at each site of its own `sites`, else of the run's, else at its default. One of several
    takes all its own `sites` together, else the run's if there are at least two, else its default. `default` stands in for the
    architectures' own defaults.

    Raises SiteError for a site that the model does not have, ConfigError when two SAEs are one and the same or an architecture
    cannot have that number of sites.
    """
    placed = dealt_places(saes, run_sites, spec, default=default)
    names = _names(placed)
    doubled = sorted(name for name, n in Counter(names).items() if n > 1)
    if doubled:
        raise ConfigError(f"two SAEs of this run are the same: {', '.join(doubled)}")
    return [PlacedConfig(name, _at(config, sites), sites) for name, (config, sites) in zip(names, placed, strict=True)]


def dealt_places(
    saes: Sequence[SAE.Config], run_sites: Sequence[str] | None, spec: Places, *, default: Sequence[str] | None = None
) -> list[tuple[SAE.Config, tuple[Site, ...]]]:
    """Config and places of each SAE, in the order of `placed_configs`; any number of them may be alike.

    Raises what `placed_configs` raises, but for SAEs that are the same.
    """
    if run_sites is not None and saes and not any(_takes_run_sites(config, run_sites, spec) for config in saes):
        raise ConfigError(
            f"no SAE of this run learns from {', '.join(run_sites)}: each has sites of its own, or needs several.\n"
            "  Leave sites out, or give the architecture its own, such as --sae.transcoder.sites mlp_in.3,mlp_out.3"
        )
    dealt = [(config, _deal(config, run_sites, spec, default)) for config in saes]
    rounds = max((len(groups) for _, groups in dealt), default=0)
    return [(config, groups[i]) for i in range(rounds) for config, groups in dealt if i < len(groups)]


def _deal(
    config: SAE.Config, run_sites: Sequence[str] | None, spec: Places, default: Sequence[str] | None
) -> list[tuple[Site, ...]]:
    """The groups of sites that one config is trained at, an SAE for each."""
    kind = SAES.get(config.plugin_name)
    several = takes_several_sites(config)
    given = config.sites
    if given is None and run_sites is not None and _takes_run_sites(config, run_sites, spec):
        given = tuple(run_sites)
    if given is None and default is not None:
        given = tuple(default)
    sites = spec.sites(kind.default_sites(spec.n_layers) if given is None else given)
    if several:
        kind.roles(len(sites))
    return [sites] if several else [(site,) for site in sites]


def _takes_run_sites(config: SAE.Config, run_sites: Sequence[str], spec: Places) -> bool:
    """Whether it has none of its own, and the run's are enough for it."""
    return config.sites is None and (not takes_several_sites(config) or len(spec.sites(run_sites)) > 1)


def takes_several_sites(config: SAE.Config) -> bool:
    """Whether one SAE of that config learns from several sites together."""
    return any(field.name == "n_sites" for field in dataclasses.fields(config))


def _at(config: SAE.Config, sites: tuple[Site, ...]) -> SAE.Config:
    known: dict[str, Any] = {"sites": tuple(str(site) for site in sites)}
    if takes_several_sites(config):
        known["n_sites"] = len(sites)
    return dataclasses.replace(config, **known)


def _names(placed: Sequence[tuple[SAE.Config, tuple[Site, ...]]]) -> list[str]:
    """The architecture, and whatever tells an SAE from others of the same one: settings, then places."""
    names: list[str] = []
    for config, sites in placed:
        twins = [(other, theirs) for other, theirs in placed if other.plugin_name == config.plugin_name]
        words = _differences(config, [other for other, _ in twins])
        places = {theirs for _, theirs in twins}
        names.append(".".join([config.plugin_name, *words, *([_place_word(sites)] if len(places) > 1 else [])]))
    return names


def _place_word(sites: tuple[Site, ...]) -> str:
    ends = [sites[0]] if len(sites) == 1 else [sites[0], sites[-1]]
    return "-".join(str(site).replace(".", "_").replace("@", "_") for site in ends)


def _differences(config: SAE.Config, twins: list[SAE.Config]) -> list[str]:
    """`k16`, `target_l0_20`: the settings in which a config differs from another of its architecture."""
    plain = to_dict(config)
    others = [to_dict(twin) for twin in twins]
    told = _PLACES | ({"k"} if config.target_l0 is not None else set[str]())  # the target has set the k
    return [
        f"{key}_{_word(value)}" if key[-1].isdigit() else f"{key}{_word(value)}"
        for key, value in plain.items()
        if key not in told and any(other[key] != value for other in others)
    ]


def _word(value: Any) -> str:
    text = "_".join(str(v) for v in value.values()) if isinstance(value, dict) else str(value).removesuffix(".0")
    return "".join(c if c.isalnum() or c in "_-" else "_" for c in text)
