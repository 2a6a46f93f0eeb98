"""Two models over the same text: whose site is meant, and their activations as one source."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Protocol

from monoseme.core.errors import ConfigError, SiteError
from monoseme.models import LanguageModel, Site

FIRST, SECOND = "model", "beside"
"""What the models are called in sites: as their settings are."""


class Places(Protocol):
    """The part of a model's spec that dealing out sites needs; that of two models together has it too."""

    @property
    def n_layers(self) -> int:
        """Blocks."""
        ...

    def sites(self, patterns: str | Iterable[str | Site]) -> tuple[Site, ...]:
        """The sites that patterns name. Raises SiteError for those that are not there."""
        ...

    def site_width(self, site: Site) -> int:
        """Length of the vectors at a site."""
        ...


class JointPlaces:
    """The sites of two models; one that names no model is the first one's."""

    def __init__(self, models: Mapping[str, LanguageModel]) -> None:
        """By the names that sites use. Raises ConfigError where the tokenizers differ: the texts must be the same ids."""
        first, second = models[FIRST], models[SECOND]
        if first.tokenizer.get_vocab() != second.tokenizer.get_vocab():
            raise ConfigError("model and beside have different tokenizers, so no token of the one is a token of the other")
        self._specs = {name: model.spec for name, model in models.items()}

    @property
    def n_layers(self) -> int:
        """Blocks of the first model."""
        return self._specs[FIRST].n_layers

    def sites(self, patterns: str | Iterable[str | Site]) -> tuple[Site, ...]:
        """The sites that patterns name, each with its model."""
        found: list[Site] = []
        for pattern in [patterns] if isinstance(patterns, str) else patterns:
            for one in str(pattern).split(","):
                place, _, name = one.strip().partition("@")
                found += [replace(site, model=name or FIRST) for site in self._spec(name or FIRST).sites(place)]
        return tuple(dict.fromkeys(found))

    def site_width(self, site: Site) -> int:
        """Length of the vectors at a site."""
        return self._spec(site.model or FIRST).site_width(replace(site, model=None))

    def _spec(self, name: str) -> Places:
        if name not in self._specs:
            raise SiteError(f'no model of this run is called "{name}" in sites.\n  Allowed: {", ".join(self._specs)}')
        return self._specs[name]


def own_sites(sites: Sequence[Site], name: str) -> tuple[Site, ...]:
    """The sites of one of the models, as it calls them itself. Raises ConfigError without any: it would run for nothing."""
    found = tuple(replace(site, model=None) for site in sites if site.model == name)
    if not found:
        raise ConfigError(
            f"no SAE of this run learns from {name}.\n  Give one sites of both models, such as resid_post.3@{name}."
        )
    return found
