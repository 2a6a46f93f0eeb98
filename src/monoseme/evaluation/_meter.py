"""Running measurements of what an SAE gives back, over the chunks of a source, and the metrics they end in.

Letters: T unmasked tokens of a chunk, M documents, W weightings, D width.
"""

import torch

from monoseme.evaluation._base import EvalSubject
from monoseme.evaluation._bootstrap import DocumentWeights, WeightedSums
from monoseme.evaluation._chunks import DocumentRows
from monoseme.evaluation._formula import evaluate, missing
from monoseme.evaluation._latents import SPARSITY, Firings, LatentCounts, share_formulas
from monoseme.evaluation._ledger import Ledger
from monoseme.evaluation._metric import Metric
from monoseme.evaluation._reconstruction import AS_PEERS, RECONSTRUCTION
from monoseme.evaluation._token_sums import batch_values, per_document, token_values
from monoseme.splice import Read
from monoseme.tensors.shapes import Float, Tensor
from monoseme.tensors.sparse import SparseCodes

NO_TOKENS = "the source holds no unmasked token"


class Meter:
    """Gathers the sums of one output site of one subject."""

    def __init__(self, subject: EvalSubject, weights: DocumentWeights) -> None:
        self.ledger = Ledger(weights, subject.domain_of)
        self.latents = LatentCounts(subject.sae.n_latents, n_replicates=weights.n_replicates)
        self._batches = WeightedSums()
        self._shift: Tensor | None = None

    def __repr__(self) -> str:
        return f"Meter(n_tokens={self.n_tokens})"

    @property
    def n_tokens(self) -> int:
        """Unmasked tokens seen."""
        return self.latents.n_tokens

    def mean(self) -> Float[Tensor, " D"] | None:
        """Mean activation of the tokens seen, float64; None before the first."""
        if self._shift is None:
            return None
        sums = self.ledger.whole()
        return self._shift + sums["y"][0] / sums["n"][0]

    def update(self, found: Read, rows: DocumentRows) -> Float[Tensor, "M W"]:
        """Adds the T tokens of a chunk, which is a batch for the metrics that depend on batches; the documents' weights."""
        firings = firings_of(found.codes)
        values = token_values(found.x, found.x_hat, self._shift_from(found.x))
        values |= code_values(firings, like=values["n"])
        sums = per_document({name: value.cpu() for name, value in values.items()}, rows)
        weights = self.ledger.add(sums, rows)
        self.latents.update(firings, rows, weights)
        self._add_batch(sums, weights, width=found.x.shape[-1])
        return weights

    def _shift_from(self, x: Float[Tensor, "T D"]) -> Float[Tensor, " D"]:
        if self._shift is None:
            self._shift = x.detach().cpu().double().mean(0)
        return self._shift.to(x.device) if x.device.type != "mps" else self._shift

    def _add_batch(self, sums: dict[str, Tensor], weights: Float[Tensor, "M W"], *, width: int) -> None:
        batch = WeightedSums()
        batch.add_documents({name: value for name, value in sums.items() if value.ndim == 1}, weights)
        for name, value in batch_values(batch, width=width).items():
            self._batches.add(name, value)

    def metrics(self, *, dense_above: float) -> list[Metric]:
        """Every metric of the reconstruction and the codes."""
        formulas = (*RECONSTRUCTION, *AS_PEERS, *SPARSITY, *share_formulas(dense_above=dense_above))
        if self.n_tokens == 0:
            return missing(formulas, NO_TOKENS)
        sums = self.ledger.whole()
        sums.merge(self._batches)
        for name, value in self.latents.shares(sums["n"], dense_above=dense_above).items():
            sums.add(name, value)
        return evaluate(formulas, sums, n_documents=self.ledger.n_documents)

    def domain_metrics(self) -> dict[str, list[Metric]]:
        """Per domain, the metrics that do not depend on batches or on the whole population of latents."""
        return {
            domain: evaluate((*RECONSTRUCTION, *SPARSITY), sums, n_documents=len(self.ledger.documents[domain]))
            for domain, sums in self.ledger.domains.items()
        }


def firings_of(codes: SparseCodes) -> Firings:
    """The entries of codes [T, F]."""
    return Firings(codes.rows(), codes.indices, codes.values)


def code_values(firings: Firings, *, like: Float[Tensor, " T"]) -> dict[str, Float[Tensor, " T"]]:
    """`l0` and `l1` per token, float64."""
    row = firings.row.to(like.device)
    size = firings.value.detach().to(like.device).double().abs()
    zeros = torch.zeros_like(like)
    return {"l0": zeros.index_add(0, row, torch.ones_like(size)), "l1": zeros.index_add(0, row, size)}
