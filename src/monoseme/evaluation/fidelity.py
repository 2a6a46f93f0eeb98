"""How faithfully an SAE stands in for the activations: reconstruction, sparsity, and the model's loss with it spliced in.

One pass over held-out activations, then one over the same tokens with the model if there is one. Sums stream under every
weighting of a bootstrap over documents, so each number has a standard error and memory does not grow with the text. Several
SAEs of one source share the passes. Definitions are in the metrics' own files; peers' forms carry the peer's name.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import pyarrow as pa

from monoseme.core.config import to_dict
from monoseme.core.display import get_display
from monoseme.core.errors import ConfigError
from monoseme.evaluation._base import EvalResult, EvalSubject, Evaluation
from monoseme.evaluation._bootstrap import DocumentWeights
from monoseme.evaluation._chunks import TokenChunk, chunks
from monoseme.evaluation._formula import missing
from monoseme.evaluation._latents import SPARSITY, density_table, l0_table, latent_table, share_formulas
from monoseme.evaluation._losses import LOSSES
from monoseme.evaluation._meter import NO_TOKENS, Meter
from monoseme.evaluation._metric import Definition, Metric
from monoseme.evaluation._reconstruction import AS_PEERS, RECONSTRUCTION

if TYPE_CHECKING:
    from monoseme.evaluation._model_losses import LossMeter
    from monoseme.models import LanguageModel, Site
    from monoseme.tensors.shapes import Tensor


class Fidelity(Evaluation):
    """Reconstruction, sparsity and loss of the spliced model, each with a standard error over documents."""

    @dataclass(frozen=True, kw_only=True)
    class Config(Evaluation.Config):
        """What to measure on, and how finely."""

        max_tokens: int | None = None
        """Unmasked tokens for reconstruction and sparsity; None: the whole source."""
        max_loss_tokens: int | None = None
        """Unmasked tokens for the model's losses, the first of those above; None: all of them."""
        batch_contexts: int = 16
        """Contexts handled at once; also the batch of the metrics `*_as_<peer>` that depend on one (SAEBench's default is 16)."""
        dense_above: float = 0.1
        """A latent that fires on more than this fraction of tokens is dense."""
        n_replicates: int = 200
        """Replicates of the bootstrap; 200 bring a standard error to about 5 % of itself."""
        seed: int = 0
        """Of the bootstrap; SAEs measured with one seed on the same documents have paired replicates."""

        def __post_init__(self) -> None:
            """Raises ConfigError for a count below 1 or a fraction outside (0, 1)."""
            for name in ("max_tokens", "max_loss_tokens", "batch_contexts"):
                value = getattr(self, name)
                if value is not None and value < 1:
                    raise ConfigError(f"fidelity's {name} must be at least 1, not {value}")
            if self.n_replicates < 2:
                raise ConfigError(f"fidelity's n_replicates must be at least 2, not {self.n_replicates}")
            if not 0 < self.dense_above < 1:
                raise ConfigError(f"fidelity's dense_above must lie between 0 and 1, not {self.dense_above}")

    uses: ClassVar[tuple[str, ...]] = ("model",)
    config: Config

    @classmethod
    def definitions(cls) -> tuple[Definition, ...]:
        """All metrics, with the default threshold of a dense latent."""
        shares = share_formulas(dense_above=cls.Config().dense_above)
        return tuple(f.definition for f in (*RECONSTRUCTION, *AS_PEERS, *SPARSITY, *shares, *LOSSES))

    def run(self, subject: EvalSubject) -> EvalResult:
        """Measures one SAE."""
        return self.run_many([subject])[0]

    def run_many(self, subjects: Sequence[EvalSubject]) -> list[EvalResult]:
        """Measures SAEs that share one source and model on one pass; raises ConfigError where they do not share them."""
        if not subjects:
            return []
        first = subjects[0]
        if any(s.source is not first.source or s.model is not first.model for s in subjects):
            raise ConfigError("fidelity measures SAEs together only on one source and one model; run it for each separately")
        if len({s.name for s in subjects}) < len(subjects):
            raise ConfigError(f"two SAEs have one name: {', '.join(s.name for s in subjects)}")
        weights = DocumentWeights(n_replicates=self.config.n_replicates, seed=self.config.seed)
        meters = [Meter(subject, weights) for subject in subjects]
        texts = self._measure(meters)
        loss_meter = None if first.model is None else self._measure_losses(first.model, meters, texts)
        return [self._result(meter, loss_meter) for meter in meters]

    def _measure(self, meters: Sequence[Meter]) -> list[TokenChunk]:
        """First pass; returns the text that the second is to use."""
        config, source = self.config, meters[0].subject.source
        sites = sorted({meter.subject.site for meter in meters})
        keep = meters[0].subject.model is not None
        texts: list[TokenChunk] = []
        n_kept = 0
        with get_display().progress("reconstruction", total=config.max_tokens, unit="token") as progress:
            for chunk in chunks(source, sites, n_contexts=config.batch_contexts, max_tokens=config.max_tokens):
                n_tokens = int(chunk.text.mask.sum())
                for meter in meters:
                    meter.update(chunk)
                if keep and (config.max_loss_tokens is None or n_kept < config.max_loss_tokens):
                    texts.append(chunk.text)
                    n_kept += n_tokens
                progress.advance(n_tokens)
        return texts

    def _measure_losses(self, model: "LanguageModel", meters: Sequence[Meter], texts: Sequence[TokenChunk]) -> "LossMeter":
        """Second pass: the model on the same text."""
        from monoseme.evaluation._model_losses import LossMeter  # here, so that activations alone need no transformers

        weights = DocumentWeights(n_replicates=self.config.n_replicates, seed=self.config.seed)
        found = LossMeter(model, [meter.subject for meter in meters], _means(meters), weights)
        total = sum(int(text.mask.sum()) for text in texts)
        with get_display().progress("model losses", total=total, unit="token") as progress:
            for text in texts:
                found.update(text)
                progress.advance(int(text.mask.sum()))
        return found

    def _result(self, meter: Meter, loss_meter: "LossMeter | None") -> EvalResult:
        subject = meter.subject
        metrics = meter.metrics(dense_above=self.config.dense_above)
        per_domain = meter.domain_metrics()
        if loss_meter is None:
            metrics += missing(LOSSES, "no language model was given")
        else:
            metrics += loss_meter.metrics(subject.name) if meter.n_tokens else missing(LOSSES, NO_TOKENS)
            losses = loss_meter.domain_metrics(subject.name)
            per_domain = {d: [*found, *losses.get(d, ())] for d, found in per_domain.items()}
        tables = {
            "domains": domain_table(per_domain),
            "density": density_table(meter.latents),
            "l0": l0_table(meter.latents),
            "latents": latent_table(meter.latents),
        }
        facts = {
            "site": str(subject.site),
            "part": subject.part,
            "n_tokens": meter.n_tokens,
            "n_documents": meter.ledger.n_documents,
            "n_latents": subject.sae.n_latents,
            "config": to_dict(self.config),
        }
        return EvalResult(evaluation="fidelity", subject=subject.name, metrics=tuple(metrics), tables=tables, facts=facts)


def _means(meters: Sequence[Meter]) -> "Mapping[Site, Tensor]":
    means = {meter.subject.site: meter.mean() for meter in meters}
    return {site: mean for site, mean in means.items() if mean is not None}


def domain_table(per_domain: Mapping[str, Iterable[Metric]]) -> pa.Table:
    """One row per domain and metric: `domain`, `metric`, `value`, `why_missing`, `standard_error`, `n`, `n_documents`."""
    rows = [(domain, m) for domain in sorted(per_domain) for m in per_domain[domain]]
    return pa.table(
        {
            "domain": pa.array([domain for domain, _ in rows], pa.string()),
            "metric": pa.array([m.name for _, m in rows], pa.string()),
            "value": pa.array([m.value for _, m in rows], pa.float64()),
            "why_missing": pa.array([m.why_missing for _, m in rows], pa.string()),
            "standard_error": pa.array([m.standard_error for _, m in rows], pa.float64()),
            "n": pa.array([m.n for _, m in rows], pa.int64()),
            "n_documents": pa.array([m.n_documents for _, m in rows], pa.int64()),
        }
    )
