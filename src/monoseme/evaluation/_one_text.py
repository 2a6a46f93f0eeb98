"""The metrics of a reconstruction on one text, which counts as one document: the evaluations' own formulas, without errors.

Letters: T tokens, D width.
"""

from collections.abc import Collection

import torch

from monoseme.evaluation._bootstrap import WeightedSums
from monoseme.evaluation._chunks import document_rows
from monoseme.evaluation._formula import evaluate
from monoseme.evaluation._latents import SPARSITY
from monoseme.evaluation._meter import code_values, firings_of
from monoseme.evaluation._metric import Metric
from monoseme.evaluation._reconstruction import AS_PEERS, RECONSTRUCTION
from monoseme.evaluation._token_sums import batch_values, per_document, token_values
from monoseme.splice import Read


def text_metrics(found: Read, names: Collection[str]) -> list[Metric]:
    """The metrics of these names, of reconstruction and sparsity, over the T tokens of `found`. Sums are in float64.

    Variance is about the mean of the text itself.
    """
    values = token_values(found.x, found.x_hat, found.x.detach().double().mean(0))
    values |= code_values(firings_of(found.codes), like=values["n"])
    rows = document_rows(torch.zeros(len(found.x), dtype=torch.int64))
    sums = WeightedSums()
    document = per_document({name: value.cpu() for name, value in values.items()}, rows)
    sums.add_documents(document, torch.ones(1, 1, dtype=torch.float64))
    for name, value in batch_values(sums, width=found.x.shape[-1]).items():
        sums.add(name, value)
    formulas = [f for f in (*RECONSTRUCTION, *AS_PEERS, *SPARSITY) if f.definition.name in names]
    return evaluate(formulas, sums, n_documents=1)
