"""How the residual stream changes from layer to layer: cosines of a token's vectors at all pairs of layers, and their norms.

No SAE is needed. What one dictionary for all layers can hope for depends on it: where neighbouring layers are alike, one latent
can serve both.

Source: Lawson et al. 2024 (MLSAE), arXiv:2409.04185, and `figures/resid_cos_sim.py` of its code. Differs: documents, not tokens,
are what intervals are over; the embedding can be counted too; attention sinks are left out unless asked for.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import torch

from monoseme.activations import ActivationSource
from monoseme.core.display import AtMost, get_display
from monoseme.core.errors import ConfigError, UndefinedMetricError
from monoseme.evaluation import Chunk, DocumentWeights, chunks
from monoseme.evaluation._chunks import DocumentRows, document_rows
from monoseme.evaluation._layer_vectors import CentreSums, LayerVectors
from monoseme.models import ModelConfig, Site
from monoseme.pipeline import Materials, RunConfig, StreamConfig
from monoseme.studies._base import Study, StudyResult
from monoseme.studies._residual.figures import adjacent_lines, norm_lines, similarity_maps
from monoseme.studies._residual.tables import ResidualSums, adjacent_rows, findings_of, layer_rows, metrics_of, pair_rows
from monoseme.tensors.shapes import Float, Tensor
from monoseme.text import CorpusConfig

_TEXT = """\
The residual stream of {model} on {n_tokens:,} tokens of {n_documents:,} documents of {corpus}, {sites}. Special tokens{sinks}
are left out.

- *cosine*: of one token's vectors at two layers, mean over tokens; *raw*, or *centred*, with each layer's mean vector taken away,
  which would make all layers look alike.
- *norm*: length of the vectors. Intervals are of 95 %, over documents; *sem* is the standard error of independent tokens, as
  MLSAE's tables have it, which tokens of one text are not.
"""


class Residual(Study):
    """How alike the residual stream is from layer to layer, and how long its vectors are; no SAE needed."""

    @dataclass(frozen=True, kw_only=True)
    class Config(Study.Config):
        """Which model, on which text."""

        model: ModelConfig = field(default_factory=ModelConfig)
        """The language model."""
        corpus: CorpusConfig = field(default_factory=CorpusConfig)
        """The text."""
        max_tokens: int = 100_000
        """Tokens of the text that are read (count)."""
        embedding: bool = False
        """Count what enters the first block as a layer too; MLSAE does not."""
        drop_sinks: bool = True
        """Leave out positions whose norm is far above the median (attention sinks), as training does; their few huge vectors
        would be most of what is seen of norms."""
        batch_contexts: int = 16
        """Contexts handled at once (count)."""
        n_replicates: int = 200
        """Replicates of the bootstrap over documents (count)."""
        seed: int = 0
        """Of the bootstrap."""

        def __post_init__(self) -> None:
            for name, least in (("max_tokens", 1), ("batch_contexts", 1), ("n_replicates", 20)):
                if getattr(self, name) < least:
                    raise ConfigError(f"{name} is {getattr(self, name)}; it must be at least {least}")

    config: Config
    short_flags: ClassVar[Mapping[str, str]] = {
        "--model": "--model.model",
        "--corpus": "--corpus.source",
        "--tokens": "--max_tokens",
    }

    def investigate(self, work: Path) -> StudyResult:
        """Reads the text twice: for the means, then for the cosines. Nothing is kept in `work`: a model does it in minutes."""
        del work
        config = self.config
        stream = StreamConfig(max_tokens=config.max_tokens, drop_sinks=config.drop_sinks)
        settings = RunConfig(model=config.model, corpus=config.corpus, stream=stream)
        model = Materials(settings).model
        spec = model.spec
        sites = tuple(Site("resid_post", layer) for layer in range(spec.n_layers))
        if config.embedding:
            sites = (Site("resid_pre", 0), *sites)
        if len(sites) < 2:
            raise ConfigError(f"{config.model.model} has one layer; there is nothing to compare.\n  Add  --embedding")
        materials = Materials(settings, model=model, sites=sites)
        found = self._measure(materials.as_in_training(materials.text.contexts("all")), sites, spec.d_model)
        layers, adjacent = layer_rows(found), adjacent_rows(found)
        return StudyResult(
            title="The residual stream from layer to layer",
            text=_TEXT.format(
                model=config.model.model,
                n_tokens=found.n_tokens,
                n_documents=found.n_documents,
                corpus=config.corpus.source,
                sites="what enters the first block and what each block gives" if config.embedding else "after each block",
                sinks=" and attention sinks" if config.drop_sinks else "",
            ),
            tables={"adjacent": adjacent, "layers": layers, "pairs": pair_rows(found)},
            shown={"adjacent": ("kind", "first", "second", "mean", "low", "high", "std", "sem")},
            metrics={config.model.model: metrics_of(found)},
            figures=[adjacent_lines(adjacent), *similarity_maps(pair_rows(found)), norm_lines(layers)],
            findings=findings_of(found),
            inputs=materials.model_hashes(),
            seeds={"bootstrap": config.seed},
        )

    def _measure(self, source: ActivationSource, sites: tuple[Site, ...], width: int) -> ResidualSums:
        config = self.config
        first = CentreSums(len(sites), width)
        bound = AtMost.of(config.max_tokens)
        n_tokens = self._pass("means of the layers", source, sites, lambda x, _: first.update(x), total=bound)
        second = LayerVectors(first.centres(), DocumentWeights(n_replicates=config.n_replicates, seed=config.seed))
        self._pass("cosines between layers", source, sites, second.update, total=n_tokens)
        if not n_tokens:
            raise UndefinedMetricError(f"{config.corpus.source} has no token that counts: give more text with --corpus")
        return ResidualSums(sites, second.sums(), n_tokens, second.n_documents)

    def _pass(
        self,
        task: str,
        source: ActivationSource,
        sites: tuple[Site, ...],
        add: Callable[[Float[Tensor, "T L D"], DocumentRows], None],
        *,
        total: int | None,
    ) -> int:
        """Hands every unmasked token with its document to `add`; gives how many there were."""
        n_tokens = 0
        with get_display().progress(task, total=total, unit="tokens") as progress:
            for chunk in chunks(source, sites, n_contexts=self.config.batch_contexts, max_tokens=self.config.max_tokens):
                mask = chunk.text.mask
                add(_stacked(chunk, sites), document_rows(chunk.text.documents[mask].cpu()))
                n_tokens += int(mask.sum())
                progress.advance(int(mask.sum()))
        return n_tokens


def _stacked(chunk: Chunk, sites: tuple[Site, ...]) -> Float[Tensor, "T L D"]:
    return torch.stack([chunk.activations[site][chunk.text.mask] for site in sites], dim=1)
