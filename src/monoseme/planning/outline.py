"""A training run before anything large exists: its models, places, SAEs and text by their sizes, from the code that trains."""

import dataclasses
import functools
import math
import time
from typing import NamedTuple

import torch

from monoseme.activations import StreamRequest, View
from monoseme.core.errors import ConfigError
from monoseme.models import LanguageModel, Site
from monoseme.pipeline import Materials, RunConfig
from monoseme.planning.parts import Homes
from monoseme.planning.sae_sizes import SaeSizes, sae_sizes, sizes_of_sae
from monoseme.planning.text_facts import NO_TEXT, TextFacts, read_text
from monoseme.saes import SAE, SAES


class PlannedJob(NamedTuple):
    """One SAE of the run, and where it learns."""

    sizes: SaeSizes
    sites: tuple[Site, ...]
    widths: tuple[int, ...]
    """D of each site."""

    @property
    def kind(self) -> type[SAE]:
        """Its architecture."""
        return SAES.get(self.sizes.config.plugin_name)

    @property
    def learns_from(self) -> StreamRequest:
        """What it asks of the stream, as far as it tells requests apart."""
        return StreamRequest(view=View(name=self.kind.learns_from), sites=self.sites, batch_size=1)

    @property
    def reads(self) -> StreamRequest:
        """What it is validated on."""
        view = "layers" if len(self.sites) > 1 else self.kind.reads
        return StreamRequest(view=View(name=view), sites=self.sites, batch_size=1)


class RunOutline:
    """What a plan knows of a training run without running it."""

    def __init__(self, config: RunConfig) -> None:
        """Loads no weights. Raises ConfigError where no SAE is named."""
        if not config.saes and not config.start_from:
            raise ConfigError("a run needs at least one SAE.\n  Type, for example:  --sae topk")
        self.config = config

    def changed(self, config: RunConfig) -> "RunOutline":
        """That of other settings, with what they leave as it is."""
        other = RunOutline(config)
        if (config.model, config.beside) == (self.config.model, self.config.beside):
            vars(other)["models"] = self.models
            if (config.saes, config.sites, config.start_from) == (self.config.saes, self.config.sites, self.config.start_from):
                vars(other)["jobs"] = self.jobs
        return other

    @functools.cached_property
    def models(self) -> dict[str, LanguageModel]:
        """Sizes of the models, by the names that sites use. Raises what loading them raises."""
        if self.config.stream.activations and self.config.stream.validation_loss_tokens is None:
            return {}  # learning from stores runs no model
        second = self.config.second_model
        found = {"model": LanguageModel.sizes(self.config.model)}
        return found if second is None else found | {"beside": LanguageModel.sizes(second)}

    @functools.cached_property
    def materials(self) -> Materials:
        """Those of the run, with models that have sizes only: they deal out places and open the text."""
        made = Materials(self.config, model=self.models.get("model"))
        vars(made)["models"] = self.models  # a cached property: what it would load is here already
        return made

    @functools.cached_property
    def jobs(self) -> list[PlannedJob]:
        """The SAEs. Raises what dealing out places raises."""
        places = self.materials.places
        made = [
            (sae_sizes(name, _at_width(config, places.site_width(sites[0]))), sites)
            for name, config, sites in self.materials.placed
        ]
        made += [(sizes_of_sae(one.name, one.sae), one.sites) for one in self.materials.started]
        return [PlannedJob(sizes, sites, tuple(places.site_width(site) for site in sites)) for sizes, sites in made]

    @functools.cached_property
    def widths(self) -> dict[Site, int]:
        """D of every site that is captured."""
        return {site: width for job in self.jobs for site, width in zip(job.sites, job.widths, strict=True)}

    def sites_of(self, model: str) -> list[Site]:
        """The sites captured in one of the models."""
        return [site for site in self.widths if (site.model or "model") == model]

    @property
    def homes(self) -> Homes:
        """Whose memory the model and the SAEs use."""
        return Homes.of(self.config.model.device, self.config.stream.sae_device)

    @functools.cached_property
    def text(self) -> TextFacts:
        """The corpus, tokenised when first asked for. Raises what `TokenStore.build` raises."""
        if self.from_stores:
            return NO_TEXT
        began = time.perf_counter()
        return read_text(self.materials.text, began=began)

    @property
    def from_stores(self) -> bool:
        """Whether its SAEs learn from stored activations; text and model are then left alone."""
        return bool(self.config.stream.activations)

    @functools.cached_property
    def is_validated(self) -> bool:
        """Whether there are held-out documents."""
        stores = self.materials.stores
        return self.config.corpus.holdout_fraction > 0 if stores is None else stores.n_heldout > 0

    @property
    def block_tokens(self) -> int:
        """Positions of a block."""
        return self.config.stream.contexts_per_block * self.config.corpus.context_len

    @property
    def activation_dtype(self) -> torch.dtype:
        """Type of what is captured."""
        return torch.float32 if self.from_stores else self.models["model"].dtype

    @property
    def row_bytes(self) -> int:
        """Of the activations of one token at all captured sites, in memory: stored ones are mapped, and are the system's."""
        return 0 if self.from_stores else sum(self.widths.values()) * self.activation_dtype.itemsize


def weight_bytes(model: LanguageModel) -> int:
    """Bytes of a model's weights as they are loaded; of a quantised one, of its matrices' bits and all else."""
    bits = {"8bit": 8, "4bit": 4}.get(model.config.quantise or "", 0)
    total = 0
    for name, (dtype, shape) in model.parameter_shapes.items():
        quantised = bits and len(shape) == 2 and any(name.startswith(block) for block in model.block_names)
        total += math.prod(shape) * bits // 8 if quantised else math.prod(shape) * dtype.itemsize
    return total


def _at_width(config: SAE.Config, d_in: int) -> SAE.Config:
    return dataclasses.replace(config, d_in=d_in)
