"""How well an SAE rebuilds one text at one site: the evaluations' own formulas, over the text as one document.

Letters: T tokens, D width.
"""

import torch

from monoseme.evaluation import Metric
from monoseme.evaluation._bootstrap import WeightedSums
from monoseme.evaluation._chunks import document_rows
from monoseme.evaluation._formula import evaluate
from monoseme.evaluation._latents import SPARSITY
from monoseme.evaluation._meter import code_values, firings_of
from monoseme.evaluation._reconstruction import AS_PEERS, RECONSTRUCTION
from monoseme.evaluation._token_sums import batch_values, per_document, token_values
from monoseme.splice import Read
from monoseme.web.values import MetricValue

SHOWN = ("fvu", "fvu_as_mlsae", "mse", "l2_norm_in", "l2_norm_out", "cosine", "l0", "l1")
_FORMULAS = [f for f in (*RECONSTRUCTION, *AS_PEERS, *SPARSITY) if f.definition.name in SHOWN]


def metrics_of(found: Read) -> list[MetricValue]:
    """The metrics of SHOWN, without standard errors: there is one document. Sums are in float64."""
    values = token_values(found.x, found.x_hat, found.x.detach().double().mean(0))
    values |= code_values(firings_of(found.codes), like=values["n"])
    rows = document_rows(torch.zeros(len(found.x), dtype=torch.int64))
    sums = WeightedSums()
    document = per_document({name: value.cpu() for name, value in values.items()}, rows)
    sums.add_documents(document, torch.ones(1, 1, dtype=torch.float64))
    for name, value in batch_values(sums, width=found.x.shape[-1]).items():
        sums.add(name, value)
    return [_shown(metric) for metric in evaluate(_FORMULAS, sums, n_documents=1)]


def _shown(metric: Metric) -> MetricValue:
    return MetricValue(
        name=metric.name,
        value=metric.value,
        why_missing=metric.why_missing,
        unit=metric.unit,
        better=metric.better,
        n=metric.n,
        definition=metric.definition,
    )
