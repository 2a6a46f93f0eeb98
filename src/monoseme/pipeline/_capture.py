"""The capture stage: a model's activations over a text, written as an `activations` artifact."""

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from monoseme.activations.sinks import SinkFilter
from monoseme.activations.store.capture import CapturedInput
from monoseme.activations.store.config import StorageConfig
from monoseme.activations.store.layout import UNFINISHED
from monoseme.activations.store.started import read_started, require_new
from monoseme.activations.store.writer import StoreSummary, write_store
from monoseme.core.config import from_dict, to_dict
from monoseme.core.display import get_display
from monoseme.core.errors import ConfigError, DiskFullError, Interrupted
from monoseme.core.files import typed
from monoseme.core.folder import open_folder
from monoseme.core.manifest import MANIFEST, read_manifest
from monoseme.models import LanguageModel, ModelConfig, expand_sites
from monoseme.saes import SAE
from monoseme.tensors.processes import everyone
from monoseme.text import CorpusConfig, TokenStore

_MOST_LAYERS = 10_000
"""More than any model has: before one is loaded, sites can only be parsed."""


@dataclass(frozen=True, kw_only=True)
class CaptureConfig:
    """Everything a store of activations is made from; all of it has defaults."""

    model: ModelConfig = field(default_factory=ModelConfig)
    """The language model."""
    corpus: CorpusConfig = field(default_factory=CorpusConfig)
    """The text."""
    sites: tuple[str, ...] | None = None
    """Places in the model, such as resid_post.3 or resid_post.*, all captured in one pass. None: resid_post of the middle layer,
    where most architectures learn."""
    contexts_per_block: int = 16
    """Contexts captured at a time (count); a forward takes as many of them as hold about 2,048 tokens on a CPU."""
    max_tokens: int | None = None
    """Tokens of the corpus that are used, held-out ones included (count). None: all of them."""
    drop_sinks: bool = True
    """Measure how long vectors may be before readers leave them out as attention sinks; the store keeps them either way."""
    storage: StorageConfig = field(default_factory=StorageConfig)
    """How vectors are kept."""

    def __post_init__(self) -> None:
        """Raises ConfigError for counts below 1, SiteError for what is not a site."""
        for name in ("contexts_per_block", "max_tokens"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ConfigError(f"{name} must be at least 1, not {value}")
        for site in self.sites or ():
            expand_sites(site, n_layers=_MOST_LAYERS)


def capture_run(
    config: CaptureConfig, out: Path | str, *, resume: bool = False, model: LanguageModel | None = None
) -> StoreSummary:
    """Captures what the config says into a folder or address, or with `resume` goes on with what was begun there.

    The processes that torchrun started divide the shards among them. `model` is taken instead of loading the one in the config,
    when it is in memory already. Raises what `write_store`, `LanguageModel.load` and `TokenStore.build` raise.
    """
    folder, processes = open_folder(out), everyone()
    if not resume and processes.rank == 0:
        require_new(folder)  # before a model is loaded for nothing
    if model is None:
        get_display().say(f"loading {config.model.model}")
        model = LanguageModel.load(config.model)
    config = _resolved(config, model)
    text = TokenStore.build(config.corpus, model.tokenizer, max_tokens=config.max_tokens)
    supply = CapturedInput(
        model,
        text,
        model.spec.sites(config.sites or ()),
        contexts_per_block=config.contexts_per_block,
        filter=SinkFilter() if config.drop_sinks else None,
    )
    try:
        return write_store(
            folder,
            supply,
            config.storage,
            config=to_dict(config),
            inputs={"model": model.content_hash(), "text": lambda: text.content_hash},
            processes=processes,
            resume=resume,
        )
    except (Interrupted, DiskFullError) as error:
        raise type(error)(f"{error}\n  Go on with:  monoseme capture --out {typed(str(out))} --resume") from error
    finally:
        text.close()


def captured_config(out: Path | str) -> CaptureConfig | None:
    """The config of the capture that was begun or finished at `out`; None where there is none.

    Raises ArtifactDamagedError, ArtifactKindError, AddressError.
    """
    folder = open_folder(out)
    if folder.has(MANIFEST):
        return _read(read_manifest(folder, kind="activations")["config"], f"{out}/{MANIFEST}")
    started = read_started(folder)
    return None if started is None else _read(started["config"], f"{out}/{UNFINISHED}")


def _read(data: Any, where: str) -> CaptureConfig:
    return from_dict(CaptureConfig, data, where=where)


def _resolved(config: CaptureConfig, model: LanguageModel) -> CaptureConfig:
    """With every site by its name. Raises SiteError for those that the model does not have."""
    patterns = SAE.default_sites(model.spec.n_layers) if config.sites is None else config.sites
    return dataclasses.replace(config, sites=tuple(str(site) for site in model.spec.sites(patterns)))
