"""The flags of `explain` and `score`: settings of plug-ins under their kind (--explainer.n_top 20), all else without a prefix."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, NamedTuple

from monoseme.cli._declared import HandFlag
from monoseme.cli._options import CONFIG, apart, parse, settings
from monoseme.core.config import from_dict, to_dict
from monoseme.core.errors import ConfigError
from monoseme.core.registry import Registry

_WHAT = {
    "explainer": "what explains",
    "scorer": "what scores, or none",
    "judge": "the language model that is asked, or none",
    "method": "how to steer",
}
"""What a kind of plug-in does, as the list of flags says it."""


class PluginFlag(NamedTuple):
    """A flag that names a plug-in, `--KIND NAME`, and the settings of that plug-in, `--KIND.SETTING VALUE`."""

    kind: str
    registry: Registry[Any]
    name: str | None
    """The plug-in; None: none."""
    settings: Mapping[str, Any]
    """Its settings before the flags."""

    @property
    def declared(self) -> HandFlag:
        """The flag that takes its name."""
        return HandFlag(
            f"--{self.kind}", f"NAME of {_WHAT[self.kind]}: monoseme ls {self.registry.kind}.", plugins=self.registry.kind
        )

    @property
    def default(self) -> Any:
        """Its config before the flags. Raises ConfigError for a setting it has not, UnknownPluginError."""
        return from_dict(self.registry.get(self.name or "").Config, self.settings, where=f"{self.kind}.{self.name}")


def with_file(base: Any, said: Mapping[str, Any]) -> Any:
    """The settings `base` with those of a file on top; where that names another plug-in, those of the first are dropped."""
    renamed = [kind for kind in ("explainer", "scorer", "judge") if kind in said and said[kind] != getattr(base, kind, None)]
    dropped = {f"{kind}_config": {} for kind in renamed}
    return settings(dataclasses.replace(base, **dropped), said, where="config")


def take_name(words: Sequence[str], plugin: PluginFlag) -> tuple[PluginFlag, list[str]]:
    """The plug-in that the words name (`none`: none; unnamed: as it was), and the words without its name.

    Raises ConfigError for a flag without its value, and for settings of a plug-in where none is named.
    """
    rest: list[str] = []
    queue = list(words)
    while queue:
        word = queue.pop(0)
        given, equals, value = word.partition("=")
        if given != f"--{plugin.kind}":
            rest.append(word)
            continue
        if not equals and not queue:
            raise ConfigError(f"--{plugin.kind} needs a name.\n  Allowed: none, {', '.join(plugin.registry.names())}")
        name = value if equals else queue.pop(0)
        plugin = plugin._replace(name=None if name == "none" else name, settings=plugin.settings if name == plugin.name else {})
    idle = next((word for word in rest if plugin.name is None and word.startswith(f"--{plugin.kind}.")), None)
    if idle is not None:
        raise ConfigError(f"{idle} is given, but no {plugin.kind}.\n  Name one of:  {', '.join(plugin.registry.names())}")
    return plugin, rest


def parse_flags(
    words: Sequence[str], fields: Mapping[str, tuple[Any, Any]], plugins: Sequence[PluginFlag], *, verb: str, summary: str
) -> Any:
    """The words as one value: `fields` (name -> type and default), and the settings of each named plug-in by its kind."""
    entries: list[Any] = [(name, hint, dataclasses.field(default=default)) for name, (hint, default) in fields.items()]
    for plugin in plugins:
        if plugin.name is not None:
            default = plugin.default
            entries.append((plugin.kind, type(default), dataclasses.field(default=default)))
    flags = dataclasses.make_dataclass("Flags", entries, frozen=True, kw_only=True)
    by_hand = (*(plugin.declared for plugin in plugins), CONFIG)
    return parse(flags, apart(words, {"--sae"}), verb=verb, summary=summary, default=flags(), by_hand=by_hand)


def settings_of(flags: Any, plugin: PluginFlag) -> dict[str, Any]:
    """What the flags say of a plug-in, as the pipeline's settings have it: its name, and its settings under `KIND_config`."""
    config = {} if plugin.name is None else to_dict(getattr(flags, plugin.kind))
    return {plugin.kind: plugin.name, f"{plugin.kind}_config": config}


def flag(hint: Any, text: str, *, name: str | None = None) -> Any:
    """The type of a flag with its help; a `name` of "" gives the settings inside it flags without a prefix."""
    import tyro

    return Annotated[hint, tyro.conf.arg(help=text or None, name=name)]
