"""Whether a latent belongs to one layer or to several: the spread of its activation over sites, over all text and at one token.

For SAEs with codes at each site (MLSAE, cross-layer transcoders). A latent may wander over layers from token to token and yet act
at one layer at any token; the ratio of the two variances, rel_var_t, tells. Where one code serves all sites nothing can be told.

Source: Lawson et al. 2024, "Residual Stream Analysis with Multi-Layer SAEs", arXiv:2409.04185, and the analyses `dists` and
`variances` of its code. Differs: shares are of |z|, which is z for codes that are never negative; variances are weighted by
activation (`_layer_sums`); its own forms are the metrics `*_as_mlsae`.
"""

from typing import TYPE_CHECKING

import pyarrow as pa
import torch

from monoseme.evaluation._base import EvalResult, EvalSubject
from monoseme.evaluation._bootstrap import DocumentWeights, WeightedSums, ratio
from monoseme.evaluation._chunks import Chunk, TokenChunk, document_rows
from monoseme.evaluation._formula import evaluate, missing, replicates
from monoseme.evaluation._layer_formulas import SPREAD
from monoseme.evaluation._layer_statistics import layer_statistics, shape_of
from monoseme.evaluation._layer_sums import OF_FIRINGS, LayerTotals, spread_sums
from monoseme.evaluation._layers_as_mlsae import AS_MLSAE, BATCH_NUMBERS, batch_numbers, batch_sums
from monoseme.evaluation._ledger import Ledger
from monoseme.evaluation._meter import NO_TOKENS
from monoseme.evaluation._metric import Definition
from monoseme.evaluation._shared_pass import subject_facts
from monoseme.evaluation._streamed import Stream, StreamedEvaluation
from monoseme.tensors.shapes import Float, Tensor

if TYPE_CHECKING:
    from monoseme.models import Site
    from monoseme.saes import Codes


class LayerSpread(StreamedEvaluation):
    """How latents with codes at several sites spread over these, over all tokens and at single ones."""

    @classmethod
    def definitions(cls) -> tuple[Definition, ...]:
        """All metrics."""
        return tuple(f.definition for f in (*SPREAD, *AS_MLSAE))

    def start(self, subject: EvalSubject, weights: DocumentWeights) -> Stream:
        """What gathers one subject's activation by site."""
        return _Spread(subject, weights, self.config)


class _Spread:
    """Sums of one subject."""

    def __init__(self, subject: EvalSubject, weights: DocumentWeights, config: StreamedEvaluation.Config) -> None:
        self._subject, self._config = subject, config
        self._placed = subject.placed
        self._n_tokens = 0
        self._position = _positions(self._placed.code_sites)
        self._why = _why_missing(subject)
        n_latents = 0 if self._why else subject.sae.n_latents
        self._totals = LayerTotals(self._position, n_latents, n_replicates=weights.n_replicates)
        self._firings = Ledger(weights, None)
        self._batches: list[dict[str, Tensor]] = []

    @torch.no_grad()
    def update(self, chunk: Chunk) -> None:
        """Adds the unmasked tokens of a chunk, which is a batch for MLSAE's own numbers."""
        if self._why is None:
            self.add(self._placed.encode(chunk.activations, chunk.text.mask), chunk.text)
        else:
            self._n_tokens += int(chunk.text.mask.sum())

    def add(self, codes: "Codes", text: TokenChunk) -> None:
        """The same from codes [T, L, F] of the chunk's unmasked tokens."""
        mask = text.mask
        self._n_tokens += int(mask.sum())
        rows = document_rows(text.documents[mask].cpu())
        found = self._totals.update(codes.sparse(self._subject.part), rows, self._firings.weights.of(rows.ids))
        sums = {"n": rows.sums(torch.ones(len(rows.row))), **dict(zip(OF_FIRINGS, found.documents.T, strict=True))}
        self._firings.add(sums, rows)
        self._batches.append(batch_numbers(found, n_tokens=int(mask.sum())))

    def result(self) -> EvalResult:
        """The metrics; a table with each latent's distribution over sites, and one of the sites."""
        n_documents = self._firings.n_documents
        facts = subject_facts(self._subject, self._config, n_tokens=self._n_tokens, n_documents=n_documents)
        facts["position"] = self._position.tolist()
        why = self._why or (None if self._n_tokens else NO_TOKENS)
        if why is not None:
            nothing = tuple(missing((*SPREAD, *AS_MLSAE), why))
            tables = {} if self._why else self._tables()
            return EvalResult(evaluation="layer_spread", subject=self._subject.name, metrics=nothing, tables=tables, facts=facts)
        sums, batches = spread_sums(self._totals, self._firings.whole(), self._position), WeightedSums()
        for numbers in self._batches:
            batches.merge(batch_sums(numbers))
        metrics = evaluate(SPREAD, sums, n_documents=n_documents) + evaluate(AS_MLSAE, batches, n_documents=n_documents)
        return EvalResult(
            evaluation="layer_spread",
            subject=self._subject.name,
            metrics=tuple(metrics),
            tables=self._tables(),
            facts=facts,
            replicates=replicates(SPREAD, sums),
        )

    def _tables(self) -> dict[str, pa.Table]:
        counts, totals = self._totals.counts, self._totals.totals
        sites = {
            "site": pa.array([str(site) for site in self._placed.code_sites], pa.string()),
            "position": pa.array(self._position.numpy()),
            "count": pa.array(counts.sum(1).numpy()),
            "total": pa.array(totals.sum(1).numpy()),
            "n_latents": pa.array((counts > 0).sum(1).numpy()),
        }
        batches = {
            name: _or_null(torch.tensor([float(numbers[key]) for numbers in self._batches], dtype=torch.float64))
            for key, name in BATCH_NUMBERS.items()
        }
        return {"latents": latent_rows(self._totals, self._position), "sites": pa.table(sites), "batches": pa.table(batches)}


def latent_rows(sums: LayerTotals, position: Float[Tensor, " L"]) -> pa.Table:
    """A row for each latent: how often and how strongly it fires, and the shape of P(L | J)."""
    counts, totals = sums.counts, sums.totals
    found = layer_statistics(totals, position)
    shape = shape_of(found, position)
    total, count = totals.sum(0), counts.sum(0)
    at_token = ratio(sums.spread, total)
    return pa.table(
        {
            "latent": pa.array(range(len(total)), pa.int32()),
            "count": pa.array(count.numpy()),
            "n_tokens": pa.array(sums.n_tokens.numpy()),
            "total": pa.array(total.numpy()),
            "mean_active": _or_null(ratio(total, count.double())),
            "layer_mean": _or_null(found.mean),
            "layer_var": _or_null(found.var),
            "layer_std": _or_null(found.var.sqrt()),
            "layer_entropy": _or_null(found.entropy),
            "n_layers": _or_null(found.n_layers),
            "skewness": _or_null(shape.skewness),
            "kurtosis": _or_null(shape.kurtosis),
            "bimodality": _or_null(shape.bimodality),
            "valley": _or_null(shape.valley),
            "layers_per_firing": _or_null(ratio(count.double(), sums.n_tokens.double())),
            "var_at_token": _or_null(at_token),
            "share_at_token": _or_null(ratio(at_token, found.var)),
            "counts": pa.array(counts.T.tolist(), pa.list_(pa.int64())),
            "totals": pa.array(totals.T.tolist(), pa.list_(pa.float64())),
        }
    )


def _or_null(values: Float[Tensor, " F"]) -> pa.Array:
    return pa.array(values.numpy(), mask=values.isnan().numpy())


def _why_missing(subject: EvalSubject) -> str | None:
    """Why an SAE's latents have no distribution over sites; None where they have one."""
    if not subject.sae.codes_per_site:
        of = "one code serves all its sites" if len(subject.sites) > 1 else "the SAE has one site"
        return f"{of}, so its latents have no activation at each site"
    return "the SAE was given one site only" if len(subject.placed.code_sites) < 2 else None


def _positions(sites: "tuple[Site, ...]") -> Float[Tensor, " L"]:
    """What means and variances of the layer are of: the layers' numbers, or the sites' where two have one layer."""
    layers = [site.layer for site in sites]
    return torch.tensor(layers if len(set(layers)) == len(layers) else range(len(layers)), dtype=torch.float64)
