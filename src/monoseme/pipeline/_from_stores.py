"""Runs that learn from stored activations: what a store says of a run's settings, and its sides as sources."""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from monoseme.activations import ActivationSource, MixtureSource, SinkFilter, StoredActivations
from monoseme.activations.store.stored_source import TOKENS_PER_BLOCK
from monoseme.core.config import from_dict
from monoseme.core.errors import ConfigError, ResumeError, SiteError
from monoseme.models import ModelConfig, Site, expand_sites
from monoseme.pipeline._config import RunConfig, RunSettings
from monoseme.pipeline._folder import RunFolder
from monoseme.text import CorpusConfig

_SAME_MODEL = ("model", "revision")
"""What of a model's settings must be the store's; device and dtype are how one runs it."""
_NO_SINKS = "; no attention sinks were measured, so none are left out"


class StorePlaces:
    """The sites of a store, in the place of a model's."""

    def __init__(self, store: StoredActivations) -> None:
        """Assigns."""
        self._store = store

    @property
    def n_layers(self) -> int:
        """As many as the deepest site of the store shows; the model may have more."""
        return 1 + max(site.layer for site in self._store.sites)

    def sites(self, patterns: str | Iterable[str | Site]) -> tuple[Site, ...]:
        """The sites that patterns name, of those in the store. Raises SiteError for one that is not there."""
        found: list[Site] = []
        for pattern in [patterns] if isinstance(patterns, str) else patterns:
            for word in str(pattern).split(","):
                named = expand_sites(word, n_layers=self.n_layers)
                there = [site for site in named if site in self._store.sites]
                if not there or ("*" not in word and len(there) < len(named)):
                    held = ", ".join(self._store.index.sites)
                    raise SiteError(f"{self._store.folder} holds no {word}.\n  It holds: {held}")
                found += there
        return tuple(dict.fromkeys(found))

    def site_width(self, site: Site) -> int:
        """Length of the vectors at a site."""
        return self._store.index.widths[str(site)]


class Stores(NamedTuple):
    """The stores that a run learns from, the first one's model and text serving the later stages."""

    stores: tuple[StoredActivations, ...]
    weights: tuple[float, ...] | None

    @property
    def first(self) -> StoredActivations:
        """Whose model, text and sink thresholds later stages take."""
        return self.stores[0]

    @property
    def knows_model(self) -> bool:
        """Whether it is known which model the vectors are of."""
        return "model" in self.first.config

    def training(self, config: RunConfig, sites: Sequence[Site]) -> ActivationSource:
        """The side that SAEs learn from. Raises SiteError where stores do not hold the same sites, EmptyCorpusError."""
        return self._side("train", config, sites, self.stores)

    def epochs_line(self, config: RunConfig, sites: Sequence[Site]) -> str:
        """How often a run goes through each store; about, since which tokens are held out is known by contexts only."""
        n_tokens = [_n_to_learn_from(store, drop_sinks=config.stream.drop_sinks) for store in self.stores]
        n_blocks = [source.n_blocks for source in self._sources("train", config, sites, self.stores)]
        by_block = [w * n / blocks for w, n, blocks in zip(self.weights or n_blocks, n_tokens, n_blocks, strict=True)]
        train, lines = config.train, list[str]()
        for store, n, mine in zip(self.stores, n_tokens, by_block, strict=True):
            epochs = train.steps * train.batch_size * mine / (sum(by_block) * n) if n else 0.0
            lines.append(f"{_short(epochs)} of {store.folder} (about {n:,} tokens)")
        sinks = "" if not config.stream.drop_sinks or any(s.index.sink_factor for s in self.stores) else _NO_SINKS
        return f"{train.steps:,} steps of {train.batch_size:,} tokens = {', '.join(lines)}{sinks}"

    def held_out(self, config: RunConfig, sites: Sequence[Site]) -> ActivationSource | None:
        """The other side, of the stores that have one; None where none has."""
        return self._side("heldout", config, sites, [s for s in self.stores if s.n_heldout]) if self.n_heldout else None

    @property
    def n_heldout(self) -> int:
        """Held-out contexts of all."""
        return sum(store.n_heldout for store in self.stores)

    def sink_filter(self, config: RunConfig) -> SinkFilter | None:
        """What leaves out of live activations the sinks that training did not see either."""
        index = self.first.index
        if not config.stream.drop_sinks or index.sink_factor is None:
            return None
        return SinkFilter(factor=index.sink_factor, thresholds=index.sink_thresholds)

    def inputs(self) -> dict[str, str]:
        """Content hash of each store, for the manifest of what is made from them."""
        if len(self.stores) == 1:
            return {"activations": self.first.content_hash}
        return {f"activations_{i}": store.content_hash for i, store in enumerate(self.stores)}

    def _side(self, side: Any, config: RunConfig, sites: Sequence[Site], stores: Sequence[StoredActivations]) -> ActivationSource:
        found = self._sources(side, config, sites, stores)
        weights = self.weights if side == "train" else None
        return found[0] if len(found) == 1 else MixtureSource(found, weights, seed=config.train.seed)

    def _sources(
        self, side: Any, config: RunConfig, sites: Sequence[Site], stores: Sequence[StoredActivations]
    ) -> list[ActivationSource]:
        stream = config.stream
        return [s.source(side, sites, stream.contexts_per_block, drop_sinks=stream.drop_sinks) for s in stores]


def open_stores(config: RunConfig) -> Stores:
    """The stores that a run's settings name. Raises ConfigError where the settings contradict them, and what opening raises."""
    if config.second_model is not None:
        raise ConfigError("a store holds the activations of one model: leave out beside.model, or stream.activations")
    stores = tuple(StoredActivations.open(where) for where in config.stream.activations)
    _require_same(config, stores)
    return Stores(stores, config.stream.weights)


def from_stores(settings: RunSettings, where: Sequence[str]) -> RunSettings:
    """Settings for a run that learns from stores: with their model and text, so that neither needs to be typed.

    The model's loss is not measured while such a run trains, since that would load the model:
    `stream.validation_loss_tokens` asks for it. Where a store does not say what it was captured from, the settings stay.
    Raises what `StoredActivations.open` raises.
    """
    stores = [StoredActivations.open(one) for one in where]
    told, index = stores[0].config, stores[0].index
    changes: dict[str, Any] = {}
    if "model" in told:
        changes["model"] = from_dict(ModelConfig, told["model"], where=f"{where[0]}: model")
    if "corpus" in told:
        changes["corpus"] = from_dict(CorpusConfig, told["corpus"], where=f"{where[0]}: corpus")
    stream = dataclasses.replace(
        settings.stream,
        activations=tuple(where),
        contexts_per_block=max(1, TOKENS_PER_BLOCK // index.context_len),
        max_tokens=told.get("max_tokens"),
        validation_loss_tokens=None,
    )
    return dataclasses.replace(settings, **changes, stream=stream)


def keep_store_hashes(run: RunFolder, stores: Stores) -> None:
    """Notes in the run what its stores hold. Raises ResumeError where they held something else when it began."""
    inputs = stores.inputs()
    known: Mapping[str, str] | None = run.record().get("environment", {}).get("stores")
    if known is None:
        run.note({"stores": inputs})
    elif dict(known) != inputs:
        changed = ", ".join(str(s.folder) for s, key in zip(stores.stores, inputs, strict=True) if known.get(key) != inputs[key])
        raise ResumeError(
            f"{run.path} began with other activations than {changed or 'these'} hold now: it cannot go on to the same bits.\n"
            "  Put the store back, or train anew in another folder."
        )


def _require_same(config: RunConfig, stores: Sequence[StoredActivations]) -> None:
    """Raises ConfigError for a model that is not the stores', or a corpus that is none of theirs."""
    for store in stores:
        told: Mapping[str, Any] | None = store.config.get("model")
        for name in _SAME_MODEL if told is not None else ():
            was, asked = (told or {}).get(name), getattr(config.model, name)
            if was != asked:
                raise ConfigError(_contradiction(store, f"model.{name}", was, asked))
    corpora = [from_dict(CorpusConfig, s.config["corpus"], where=str(s.folder)) for s in stores if "corpus" in s.config]
    if corpora and config.corpus not in corpora:
        fields = [f.name for f in dataclasses.fields(CorpusConfig)]
        name = next(name for name in fields if getattr(corpora[0], name) != getattr(config.corpus, name))
        raise ConfigError(_contradiction(stores[0], f"corpus.{name}", getattr(corpora[0], name), getattr(config.corpus, name)))
    _require_same_size(config, [s for s in stores if "corpus" in s.config])


def _require_same_size(config: RunConfig, stores: Sequence[StoredActivations]) -> None:
    """Raises ConfigError for a bound on the text that is none of the stores': it would not bound what SAEs learn from.

    Where no store tells of its text, the bound is for the text of later stages, so that must be given as well.
    """
    asked = config.stream.max_tokens
    sizes = [store.config.get("max_tokens") for store in stores]
    if asked in sizes or (not stores and (asked is None or config.corpus != CorpusConfig())):
        return
    captured = f"; the text of the store was captured with {' or '.join(map(str, dict.fromkeys(sizes)))}" if sizes else ""
    raise ConfigError(
        f"stream.max_tokens is {asked}{captured}. It bounds the text that is captured, not how much of a store is read.\n"
        "  Leave it out: --train.n_tokens says how many tokens to learn from."
    )


def _n_to_learn_from(store: StoredActivations, *, drop_sinks: bool) -> int:
    """Tokens of the training side, counted over both sides and divided as the contexts are."""
    n_tokens = store.statistics.n_masked - (store.statistics.n_sinks if drop_sinks else 0)
    return round(n_tokens * (1 - store.n_heldout / store.n_contexts))


def _short(epochs: float) -> str:
    """`0.37 epochs`, `1 epoch`, `2,778 epochs`."""
    number = f"{epochs:,.0f}" if epochs >= 100 else f"{epochs:.2g}"
    return f"{number} epoch{'' if number == '1' else 's'}"


def _contradiction(store: StoredActivations, name: str, was: object, asked: object) -> str:
    return (
        f"{store.folder} was captured with {name} {was!r}, but {asked!r} is asked for.\n"
        f"  Leave the flag out: it comes from the store. From Python, take the settings of monoseme.pipeline.from_stores."
    )
