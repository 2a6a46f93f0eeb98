"""One subject's measurements at all its output sites, and their means.

Letters: T unmasked tokens of a chunk.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from monoseme.evaluation._base import EvalSubject
from monoseme.evaluation._bootstrap import DocumentWeights, WeightedSums
from monoseme.evaluation._chunks import Chunk, document_rows
from monoseme.evaluation._formula import evaluate
from monoseme.evaluation._latents import LatentCounts, share_formulas
from monoseme.evaluation._meter import Meter, firings_of
from monoseme.evaluation._metric import Metric

if TYPE_CHECKING:
    from monoseme.models import Site

SAID = (
    "means over the output sites; standard errors are the means of theirs, an upper bound. Where each site has codes of its own, "
    "dead_fraction, dense_fraction and the tables of latents count the codes of all sites together."
)
"""What the numbers of an SAE of several output sites are."""


class SubjectMeter:
    """A `Meter` for each output site, fed by one encode and one decode."""

    def __init__(self, subject: EvalSubject, weights: DocumentWeights) -> None:
        self.subject = subject
        self.placed = subject.placed
        self.meters = {site: Meter(subject, weights) for site in self.placed.outputs}
        self._first = self.meters[subject.site]
        is_joint = subject.sae.codes_per_site and len(self.meters) > 1
        self._joint = LatentCounts(subject.sae.n_latents, n_replicates=weights.n_replicates) if is_joint else None

    def __repr__(self) -> str:
        return f"SubjectMeter({self.subject.name!r}, n_tokens={self.n_tokens})"

    @property
    def n_tokens(self) -> int:
        """Unmasked tokens seen."""
        return self._first.n_tokens

    @property
    def n_documents(self) -> int:
        """Distinct documents seen."""
        return self._first.ledger.n_documents

    @property
    def latents(self) -> LatentCounts:
        """How often latents fire: of the one code, or of all sites' codes together (a token then counts once per site)."""
        return self._first.latents if self._joint is None else self._joint

    @torch.no_grad()
    def update(self, chunk: Chunk) -> None:
        """Adds the unmasked tokens of a chunk. Raises what `Placed.read` raises."""
        if not bool(chunk.text.mask.any()):
            return
        rows = document_rows(chunk.text.documents[chunk.text.mask].cpu())
        for found in self.placed.read(chunk.activations, chunk.text.mask, part=self.subject.part):
            weights = self.meters[found.site].update(found, rows)
            if self._joint is not None:
                self._joint.update(firings_of(found.codes), rows, weights)

    def site_metrics(self, *, dense_above: float) -> "dict[Site, list[Metric]]":
        """Every metric of the reconstruction and the codes at each output site."""
        return {site: meter.metrics(dense_above=dense_above) for site, meter in self.meters.items()}

    def joint_shares(self, *, dense_above: float) -> list[Metric]:
        """Dead and dense latents over the codes of all sites; empty where one code serves all, or before the first token."""
        if self._joint is None or not self.n_tokens:
            return []
        sums = WeightedSums()
        for meter in self.meters.values():
            sums.add("n", meter.ledger.whole()["n"])
        for name, value in self._joint.shares(sums["n"], dense_above=dense_above).items():
            sums.add(name, value)
        return evaluate(share_formulas(dense_above=dense_above), sums, n_documents=self.n_documents)

    def domain_metrics(self) -> dict[str, list[Metric]]:
        """Per domain, means over the output sites of the metrics that exist per domain."""
        each = {site: meter.domain_metrics() for site, meter in self.meters.items()}
        return {d: mean_over_sites({site: found[d] for site, found in each.items()}) for d in next(iter(each.values()))}


def mean_over_sites(per_site: "Mapping[Site, Sequence[Metric]]") -> list[Metric]:
    """The mean of each metric; where a site lacks it, it is missing with that site's reason. One site's stay as they are."""
    if len(per_site) == 1:
        return list(next(iter(per_site.values())))
    return [_mean(dict(zip(per_site, each, strict=True))) for each in zip(*per_site.values(), strict=True)]


def _mean(metrics: "Mapping[Site, Metric]") -> Metric:
    first = next(iter(metrics.values()))
    n = min(metric.n for metric in metrics.values())
    reasons = {site: metric.why_missing for site, metric in metrics.items() if metric.why_missing is not None}
    if reasons:
        site, why = next(iter(reasons.items()))
        is_everywhere = len(reasons) == len(metrics) and len(set(reasons.values())) == 1
        return replace(first, value=None, why_missing=why if is_everywhere else f"at {site}: {why}", standard_error=None, n=n)
    values = [metric.value for metric in metrics.values() if metric.value is not None]
    errors = [metric.standard_error for metric in metrics.values() if metric.standard_error is not None]
    error = sum(errors) / len(errors) if len(errors) == len(metrics) else None
    return replace(first, value=sum(values) / len(values), standard_error=error, n=n)
