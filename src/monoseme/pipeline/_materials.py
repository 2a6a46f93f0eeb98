"""What the stages of a run share: the model, the tokenised text, and sources of activations, each made when first asked for."""

import functools

from monoseme.activations import ActivationSource, FirstBlocks, LiveSource, PrefetchSource, SinkFilter
from monoseme.core.display import get_display
from monoseme.models import LanguageModel, Site
from monoseme.pipeline._config import RunConfig
from monoseme.pipeline._places import PlacedConfig, placed_configs
from monoseme.pipeline._saes import NamedSae, moved_to, open_saes
from monoseme.text import ContextPlan, TokenStore


class Materials:
    """The model and the text of one run."""

    def __init__(self, config: RunConfig, *, model: LanguageModel | None = None) -> None:
        """`model` is taken instead of loading the one in the config, when it is in memory already."""
        self.config = config
        self._given = model

    @functools.cached_property
    def model(self) -> LanguageModel:
        """The language model. Raises what `LanguageModel.load` raises."""
        if self._given is not None:
            return self._given
        get_display().say(f"loading {self.config.model.model}")
        return LanguageModel.load(self.config.model)

    @functools.cached_property
    def text(self) -> TokenStore:
        """The tokenised corpus. Raises what `TokenStore.build` raises."""
        return TokenStore.build(self.config.corpus, self.model.tokenizer, max_tokens=self.config.stream.max_tokens)

    @functools.cached_property
    def placed(self) -> list[PlacedConfig]:
        """The SAEs to train, each with its places. Raises SiteError, ConfigError."""
        return placed_configs(self.config.saes, self.config.sites, self.model.spec)

    @functools.cached_property
    def started(self) -> list[NamedSae]:
        """The trained SAEs that learn on. Raises what `open_saes` raises, SiteError for one that does not fit the model."""
        found = [sae for word in self.config.start_from for sae in open_saes(word, in_training=True)]
        return [moved_to(sae, self.config.sites, self.model.spec) for sae in found]

    @functools.cached_property
    def sites(self) -> tuple[Site, ...]:
        """The places that any SAE of the run learns from, each once."""
        groups = [placed.sites for placed in self.placed] + [sae.sites for sae in self.started]
        return tuple(dict.fromkeys(site for sites in groups for site in sites))

    @functools.cached_property
    def training(self) -> ActivationSource:
        """Activations of the documents that SAEs learn from."""
        return PrefetchSource(self._live) if self.config.stream.prefetch else self._live

    @functools.cached_property
    def held_out(self) -> ActivationSource:
        """Activations of the documents that no SAE learns from, with the sink thresholds of the training side."""
        return self._source(self.text.contexts("heldout"), self._sinks_as_in_training())

    @functools.cached_property
    def whole(self) -> ActivationSource:
        """Activations of all documents, as far as `atlas.n_tokens` goes, with the sink thresholds of the training side."""
        source = self._source(self.text.contexts("all"), self._sinks_as_in_training())
        per_block = self.config.stream.contexts_per_block * self.config.corpus.context_len
        return FirstBlocks(source, max(1, self.config.atlas.n_tokens // per_block))

    @functools.cached_property
    def _live(self) -> LiveSource:
        source = self._source(self.text.contexts("train"), SinkFilter() if self.config.stream.drop_sinks else None)
        _ = source.sink_thresholds  # measured, and told, here and not in a thread that reads ahead
        return source

    def _source(self, plan: ContextPlan, sinks: SinkFilter | None) -> LiveSource:
        per_block = self.config.stream.contexts_per_block
        return LiveSource(self.model, plan, self.sites, contexts_per_block=per_block, filter=sinks)

    def _sinks_as_in_training(self) -> SinkFilter | None:
        return SinkFilter(thresholds=self._live.sink_thresholds) if self.config.stream.drop_sinks else None

    def domain_of(self, document: int) -> str:
        """The domain of a document: its label of that name, else "all"."""
        return self.text.document_labels(document).get("domain", "all")
