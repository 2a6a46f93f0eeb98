"""How faithfully an SAE stands in for the activations: reconstruction, sparsity, and the model's loss with it spliced in.

One pass over held-out activations, then one over the same tokens with the model if there is one. Sums stream under every
weighting of a bootstrap over documents, so each number has a standard error and memory does not grow with the text. Several
SAEs of one source share the passes. Definitions are in the metrics' own files; peers' forms carry the peer's name.

An SAE that gives back several sites has the means of its sites' numbers, and a table `sites` with each.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from monoseme.core.display import get_display
from monoseme.core.errors import ConfigError
from monoseme.evaluation._base import EvalResult, EvalSubject, Evaluation
from monoseme.evaluation._bootstrap import DocumentWeights
from monoseme.evaluation._chunks import TokenChunk
from monoseme.evaluation._formula import missing
from monoseme.evaluation._latents import SPARSITY, density_table, l0_table, latent_table, share_formulas
from monoseme.evaluation._losses import LOSSES
from monoseme.evaluation._meter import NO_TOKENS
from monoseme.evaluation._metric import Definition, Metric
from monoseme.evaluation._over_sites import SAID, SubjectMeter, mean_over_sites
from monoseme.evaluation._reconstruction import AS_PEERS, RECONSTRUCTION
from monoseme.evaluation._shared_pass import check_shared, shared_pass, subject_facts
from monoseme.evaluation._tables import metric_table

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
        check_shared(subjects, evaluation="fidelity")
        weights = DocumentWeights(n_replicates=self.config.n_replicates, seed=self.config.seed)
        meters = [SubjectMeter(subject, weights) for subject in subjects]
        texts = self._measure(meters)
        model = subjects[0].model
        loss_meter = None if model is None else self._measure_losses(model, meters, texts)
        return [self._result(meter, loss_meter) for meter in meters]

    def _measure(self, meters: Sequence[SubjectMeter]) -> list[TokenChunk]:
        """First pass; returns the text that the second is to use."""
        config, subjects = self.config, [meter.subject for meter in meters]
        keep = subjects[0].model is not None
        texts: list[TokenChunk] = []
        n_kept = 0
        shared = shared_pass(subjects, "reconstruction", n_contexts=config.batch_contexts, max_tokens=config.max_tokens)
        for chunk in shared:
            for meter in meters:
                meter.update(chunk)
            if keep and (config.max_loss_tokens is None or n_kept < config.max_loss_tokens):
                texts.append(chunk.text)
                n_kept += int(chunk.text.mask.sum())
        return texts

    def _measure_losses(self, model: "LanguageModel", meters: Sequence[SubjectMeter], texts: Sequence[TokenChunk]) -> "LossMeter":
        """Second pass: the model on the same text."""
        from monoseme.evaluation._model_losses import LossMeter  # here, so that activations alone need no transformers

        weights = DocumentWeights(n_replicates=self.config.n_replicates, seed=self.config.seed)
        told = [meter for meter in meters if _why_no_losses(meter) is None]
        found = LossMeter(model, [meter.subject for meter in told], _means(told), weights)
        total = sum(int(text.mask.sum()) for text in texts)
        with get_display().progress("model losses", total=total, unit="tokens") as progress:
            for text in texts:
                found.update(text)
                progress.advance(int(text.mask.sum()))
        return found

    def _result(self, meter: SubjectMeter, loss_meter: "LossMeter | None") -> EvalResult:
        subject, dense_above = meter.subject, self.config.dense_above
        per_site = meter.site_metrics(dense_above=dense_above)
        per_domain = meter.domain_metrics()
        why = "no language model was given" if loss_meter is None else _why_no_losses(meter)
        if loss_meter is None or why is not None:
            per_site = {site: [*found, *missing(LOSSES, why or NO_TOKENS)] for site, found in per_site.items()}
        else:
            per_site = {site: [*found, *loss_meter.metrics(subject.name, site)] for site, found in per_site.items()}
            losses = _domain_losses(loss_meter, meter)
            per_domain = {d: [*found, *losses.get(d, ())] for d, found in per_domain.items()}
        joint = {metric.name: metric for metric in meter.joint_shares(dense_above=dense_above)}
        metrics = tuple(joint.get(metric.name, metric) for metric in mean_over_sites(per_site))
        tables = {
            "domains": metric_table("domain", dict(sorted(per_domain.items()))),
            "density": density_table(meter.latents),
            "l0": l0_table(meter.latents),
            "latents": latent_table(meter.latents),
        }
        facts = subject_facts(subject, self.config, n_tokens=meter.n_tokens, n_documents=meter.n_documents)
        if len(per_site) > 1:
            facts["over_sites"] = SAID
            tables["sites"] = metric_table("site", {str(site): found for site, found in per_site.items()})
        return EvalResult(evaluation="fidelity", subject=subject.name, metrics=metrics, tables=tables, facts=facts)


def _why_no_losses(meter: SubjectMeter) -> str | None:
    """Why the model's losses cannot be measured; None where they can."""
    if meter.n_tokens == 0:
        return NO_TOKENS
    others = sorted({site.model for site in meter.placed.sites if site.model is not None})
    return f"its sites are of the models {', '.join(others)}, and one model was given" if others else None


def _means(meters: Sequence[SubjectMeter]) -> "Mapping[Site, Tensor]":
    means = {site: found.mean() for meter in meters for site, found in meter.meters.items()}
    return {site: mean for site, mean in means.items() if mean is not None}


def _domain_losses(loss_meter: "LossMeter", meter: SubjectMeter) -> dict[str, list[Metric]]:
    each = {site: loss_meter.domain_metrics(meter.subject.name, site) for site in meter.placed.outputs}
    domains = next(iter(each.values()))
    return {domain: mean_over_sites({site: found[domain] for site, found in each.items()}) for domain in domains}
