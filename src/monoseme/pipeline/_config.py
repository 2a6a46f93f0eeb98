"""The whole config of a run: a model, a text, places, SAEs, and how each stage works."""

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from monoseme.core.config import from_dict, to_dict
from monoseme.core.errors import ConfigError
from monoseme.evaluation import EVALUATIONS
from monoseme.evaluation.fidelity import Fidelity
from monoseme.models import ModelConfig, expand_sites
from monoseme.pipeline._explain_config import ExplainConfig
from monoseme.pipeline._scan_config import ScanSettings
from monoseme.saes import SAE, config_from_dict, config_to_dict
from monoseme.text import CorpusConfig
from monoseme.training import TrainConfig

_MOST_LAYERS = 10_000
"""More than any model has: before one is loaded, sites can only be parsed."""


@dataclass(frozen=True, kw_only=True)
class StreamConfig:
    """How the model's activations are captured."""

    contexts_per_block: int = 16
    """Contexts captured and mixed at a time (count); a forward takes as many of them as hold about 2,048 tokens on a CPU."""
    max_tokens: int | None = None
    """Tokens of the corpus that are used, held-out ones included (count). None: all of them. Of stores, it is what they were
    captured with; `train.n_tokens` says how many to learn from."""
    drop_sinks: bool = True
    """Leave out positions whose activation norm is far above the median (attention sinks); how many is said."""
    prefetch: bool = False
    """Run the model on the next block while the SAEs learn from this one: the same bits, sooner where they share no processor.
    On a CPU both use every core, and are quicker one after the other."""
    prefetch_blocks: int = 1
    """With prefetch, how many blocks are made ahead and wait for the SAEs (count): more even out a model that is not always as
    quick, and hold more activations in memory."""
    sae_device: str | None = None
    """Where the SAEs learn and are measured, as model.device: cuda:1 keeps the model on the first GPU ahead of SAEs on the second
    with prefetch. None: where the model is (model.device)."""
    activations: tuple[str, ...] = ()
    """Stores of activations to learn from (folders, addresses) instead of running the model. Model, text and sites are theirs."""
    weights: tuple[float, ...] | None = None
    """Share of each of several stores in what is learned, of any sum. None: by their size, so that all of each is read."""
    validation_loss_tokens: int | None = 4096
    """Held-out tokens on which each validation also measures the model's loss with the SAE in it (count). None: not measured."""

    def __post_init__(self) -> None:
        for name in ("contexts_per_block", "max_tokens", "validation_loss_tokens", "prefetch_blocks"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ConfigError(f"stream.{name} must be at least 1, not {value}")
        if self.prefetch_blocks > 1 and not self.prefetch:
            raise ConfigError("stream.prefetch_blocks is for stream.prefetch, which is off")
        if self.weights is not None and (len(self.weights) != len(self.activations) or len(self.activations) < 2):
            raise ConfigError(
                f"stream.weights are {len(self.weights)} for {len(self.activations)} stores.\n"
                "  Give one for each of two stores or more."
            )


@dataclass(frozen=True, kw_only=True)
class BesideConfig:
    """A second model that reads the same text, for SAEs that compare the two (a base model and its chat version)."""

    model: str | None = None
    """Folder or hub id; everything else is as for the first. Its sites are written resid_post.3@beside. None: no second model."""
    revision: str | None = None
    """Branch, tag or commit of a hub model."""

    def __post_init__(self) -> None:
        if self.model is None and self.revision is not None:
            raise ConfigError("beside.revision is given without beside.model")


@dataclass(frozen=True, kw_only=True)
class AtlasConfig(ScanSettings):
    """How an atlas is made, and how its latents are explained."""

    explain: ExplainConfig = field(default_factory=ExplainConfig)
    """How latents are explained."""


@dataclass(frozen=True, kw_only=True)
class RunSettings:
    """Everything a run is made from but the SAEs; all of it has defaults."""

    model: ModelConfig = field(default_factory=ModelConfig)
    """The language model."""
    beside: BesideConfig = field(default_factory=BesideConfig)
    """A second model."""
    corpus: CorpusConfig = field(default_factory=CorpusConfig)
    """The text."""
    stream: StreamConfig = field(default_factory=StreamConfig)
    """The activations."""
    sites: tuple[str, ...] | None = None
    """Places in the model to learn from, such as resid_post.3 or resid_post.*. An architecture of one site has an SAE at each,
    one of several takes them together. None: each architecture's own choice, mostly resid_post of the middle layer."""
    start_from: tuple[str, ...] = ()
    """Trained SAEs that learn on, beside the new ones: RUN/saes/NAME as it was saved, RUN@last as it was in training. They keep
    settings and scale, and their places too unless `sites` names one other place. A preset's own SAEs give way to them."""
    train: TrainConfig = field(default_factory=TrainConfig)
    """The training loop."""
    evaluations: tuple[str, ...] = ("fidelity",)
    """What is measured: monoseme ls evaluations. Those besides fidelity take as many held-out tokens as its `max_loss_tokens`."""
    fidelity: Fidelity.Config = field(default_factory=lambda: Fidelity.Config(max_tokens=300_000, max_loss_tokens=60_000))
    """The evaluation on held-out text; bounded, since a tenth of a large corpus would take hours and say no more."""
    atlas: AtlasConfig = field(default_factory=AtlasConfig)
    """Scan and explanations."""

    def __post_init__(self) -> None:
        for name in self.evaluations:
            EVALUATIONS.source(name)
        for site in self.sites or ():
            expand_sites(site, n_layers=_MOST_LAYERS)

    @property
    def second_model(self) -> ModelConfig | None:
        """The model that reads beside the first one, None without."""
        if self.beside.model is None:
            return None
        return dataclasses.replace(self.model, model=self.beside.model, revision=self.beside.revision)


@dataclass(frozen=True, kw_only=True)
class RunConfig(RunSettings):
    """Everything a run is made from."""

    saes: tuple[SAE.Config, ...] = ()
    """The architectures to train, side by side on one pass of the model."""

    @property
    def settings(self) -> RunSettings:
        """All but the SAEs."""
        return RunSettings(**{field.name: getattr(self, field.name) for field in dataclasses.fields(RunSettings)})

    @classmethod
    def of(cls, settings: RunSettings, saes: Iterable[SAE.Config]) -> "RunConfig":
        """Settings and SAEs put together."""
        return cls(**{f.name: getattr(settings, f.name) for f in dataclasses.fields(RunSettings)}, saes=tuple(saes))


def run_config_to_dict(config: RunConfig) -> dict[str, Any]:
    """The config as JSON-able values; each SAE with the name of its architecture."""
    return to_dict(config.settings) | {"saes": [config_to_dict(sae) for sae in config.saes]}


def run_config_from_dict(data: Mapping[str, Any], *, where: str = "config") -> RunConfig:
    """The inverse of `run_config_to_dict`. Raises ConfigError, UnknownPluginError."""
    saes = data.get("saes", [])
    if not isinstance(saes, list):
        raise ConfigError(f"{where}.saes must be a list of tables, each with its architecture")
    settings = from_dict(RunSettings, {key: value for key, value in data.items() if key != "saes"}, where=where)
    return RunConfig.of(settings, [config_from_dict(sae, where=f"{where}.saes[{i}]") for i, sae in enumerate(saes)])
