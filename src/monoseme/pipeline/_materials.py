"""What the stages of a run share: the model, the tokenised text, and sources of activations, each made when first asked for."""

import functools
from collections.abc import Mapping, Sequence

import torch

from monoseme.activations import (
    ActivationSource,
    Contexts,
    DistributedSource,
    FirstBlocks,
    JointSource,
    LiveSource,
    PrefetchSource,
    SinkFilter,
)
from monoseme.core.display import get_display
from monoseme.core.errors import ConfigError
from monoseme.models import LanguageModel, ModelConfig, Site, device_of
from monoseme.pipeline._beside import FIRST, SECOND, JointPlaces, Places, own_sites
from monoseme.pipeline._config import RunConfig
from monoseme.pipeline._from_stores import StorePlaces, Stores, open_stores
from monoseme.pipeline._places import PlacedConfig, dealt_places, placed_configs
from monoseme.pipeline._saes import NamedSae, moved_to, open_saes, require_width
from monoseme.tensors.processes import ALONE, Group
from monoseme.text import TokenStore


class Materials:
    """The model and the text of one run."""

    def __init__(
        self,
        config: RunConfig,
        *,
        model: LanguageModel | None = None,
        processes: Group = ALONE,
        sites: Sequence[Site] = (),
    ) -> None:
        """`model` is taken instead of loading the one in the config, when it is in memory already. `processes` divide the
        forwards of the training documents. `sites` are captured besides those that the run's SAEs learn from."""
        self.config = config
        self.processes = processes
        self._given = model
        self._more_sites = tuple(sites)

    @functools.cached_property
    def model(self) -> LanguageModel:
        """The language model. Raises what `LanguageModel.load` raises."""
        if self._given is not None:
            return self._given
        if self.stores is not None and not self.stores.knows_model and self.config.model == ModelConfig():
            raise ConfigError(f"{self.stores.first.folder} does not say which model it is of.\n  Give it with --model.")
        get_display().say(f"loading {self.config.model.model}")
        return LanguageModel.load(self.config.model)

    @property
    def sae_device(self) -> torch.device:
        """Where SAEs are. Loads no model, unless accelerate spreads it. Raises ModelError for a device that is not there."""
        if self.config.stream.sae_device is None and self.config.model.device_map is not None:
            return self.model.device
        return device_of(self.config.stream.sae_device or self.config.model.device)

    @functools.cached_property
    def stores(self) -> Stores | None:
        """The stores that SAEs learn from; None where the model is run for them. Raises what `open_stores` raises."""
        return open_stores(self.config) if self.config.stream.activations else None

    def take(self, named: NamedSae) -> NamedSae:
        """The SAE where activations are. Raises SiteError where the model has no such place, or one of another width."""
        require_width(named, named.sites, self.places)
        return named._replace(sae=named.sae.to(self.sae_device))

    @functools.cached_property
    def places(self) -> Places:
        """The sites there are: of the stores, where SAEs learn from such, else of the models."""
        if self.stores is not None:
            return StorePlaces(self.stores.first)
        return self.model.spec if self.config.second_model is None else JointPlaces(self.models)

    def spliced_model(self, sites: Sequence[Site]) -> LanguageModel | None:
        """The model in which an SAE of these sites can be put in place; None for one that reads two models."""
        return self.model if all(site.model is None for site in sites) else None

    def model_hashes(self) -> dict[str, str]:
        """Content hash of each model, by what its settings are called."""
        return {name: model.content_hash() for name, model in self.models.items()}

    @functools.cached_property
    def models(self) -> dict[str, LanguageModel]:
        """By the names that sites use."""
        second = self.config.second_model
        if second is None:
            return {FIRST: self.model}
        get_display().say(f"loading {second.model}")
        return {FIRST: self.model, SECOND: LanguageModel.load(second)}

    @functools.cached_property
    def text(self) -> TokenStore:
        """The tokenised corpus. Raises what `TokenStore.build` raises."""
        return TokenStore.build(self.config.corpus, self.model.tokenizer, max_tokens=self.config.stream.max_tokens)

    @functools.cached_property
    def placed(self) -> list[PlacedConfig]:
        """The SAEs to train, each with its places. Raises SiteError, ConfigError."""
        return placed_configs(self.config.saes, self.config.sites, self.places, default=self._default_sites)

    @property
    def _default_sites(self) -> Sequence[str] | None:
        return None if self.stores is None else self.stores.first.index.sites

    @functools.cached_property
    def started(self) -> list[NamedSae]:
        """The trained SAEs that learn on. Raises what `open_saes` raises, SiteError for one that does not fit the model."""
        found = [sae for word in self.config.start_from for sae in open_saes(word, in_training=True, device=self.sae_device)]
        return [moved_to(sae, self.config.sites, self.places) for sae in found]

    @functools.cached_property
    def sites(self) -> tuple[Site, ...]:
        """The places that any SAE of the run learns from, each once, and those asked for besides."""
        # A run of SAEs that are given may hold several of the same settings, which no run trains.
        dealt = dealt_places(self.config.saes, self.config.sites, self.places, default=self._default_sites)
        groups = [sites for _, sites in dealt] + [sae.sites for sae in self.started] + [self._more_sites]
        return tuple(dict.fromkeys(site for sites in groups for site in sites))

    @functools.cached_property
    def training(self) -> ActivationSource:
        """Activations of the documents that SAEs learn from."""
        ahead = self.config.stream.prefetch_blocks
        if self.stores is not None:
            stored = self.stores.training(self.config, self.sites)
            return PrefetchSource(stored, ahead=ahead) if self.config.stream.prefetch else stored
        # A thread that reads ahead talks to those of the other processes by itself.
        processes = self.processes.twin() if self.config.stream.prefetch else self.processes
        live = _joined({name: _divided(source, processes) for name, source in self.live_sources.items()})
        return PrefetchSource(live, ahead=ahead) if self.config.stream.prefetch else live

    @functools.cached_property
    def validation(self) -> ActivationSource | None:
        """Activations that SAEs are measured on while they learn; None without held-out documents."""
        if self.stores is not None:
            return self.stores.held_out(self.config, self.sites)
        return self.held_out if self.config.corpus.holdout_fraction > 0 else None

    @functools.cached_property
    def held_out(self) -> ActivationSource:
        """Activations of the documents that no SAE learns from, with the sink thresholds of the training side."""
        return self.as_in_training(self.text.contexts("heldout"))

    @functools.cached_property
    def whole(self) -> ActivationSource:
        """Activations of all documents, as far as `atlas.n_tokens` goes, with the sink thresholds of the training side."""
        source = self.as_in_training(self.text.contexts("all"))
        per_block = self.config.stream.contexts_per_block * self.config.corpus.context_len
        return FirstBlocks(source, max(1, self.config.atlas.n_tokens // per_block))

    @functools.cached_property
    def live_sources(self) -> dict[str, LiveSource]:
        """What each model makes of the training documents."""
        plan = self.text.contexts("train")
        if self.stores is not None:
            return {FIRST: self._source(FIRST, plan, self.stores.sink_filter(self.config))}
        sources = {
            name: self._source(name, plan, SinkFilter() if self.config.stream.drop_sinks else None) for name in self.models
        }
        # Sink thresholds are measured, and told, here: by the first process, and not in a thread that reads ahead.
        first = self.processes.rank == 0
        measured = {name: source.sink_thresholds for name, source in sources.items()} if first else {}
        limits = self.processes.share_value(measured)
        if first or not self.config.stream.drop_sinks:
            return sources
        return {name: self._source(name, plan, SinkFilter(thresholds=limits[name])) for name in sources}

    def as_in_training(self, plan: Contexts) -> ActivationSource:
        """Activations of any contexts, with the sink thresholds of the training side."""
        live = self.live_sources
        sinks = {name: one.filter and SinkFilter(thresholds=one.sink_thresholds) for name, one in live.items()}
        return _joined({name: self._source(name, plan, sinks[name]) for name in self.models})

    def _source(self, name: str, plan: Contexts, sinks: SinkFilter | None) -> LiveSource:
        sites = self.sites if self.config.second_model is None else own_sites(self.sites, name)
        per_block = self.config.stream.contexts_per_block
        return LiveSource(self.models[name], plan, sites, contexts_per_block=per_block, filter=sinks)

    def domain_of(self, document: int) -> str:
        """The domain of a document: its label of that name, else "all"."""
        return self.text.document_labels(document).get("domain", "all")


def _divided(source: LiveSource, processes: Group) -> ActivationSource:
    return source if processes.size == 1 else DistributedSource(source, processes)


def _joined(sources: Mapping[str, ActivationSource]) -> ActivationSource:
    """The only source, or two side by side."""
    return JointSource(sources) if len(sources) > 1 else sources[FIRST]
