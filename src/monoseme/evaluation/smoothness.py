"""How smoothly codes change over time: total variation, Lipschitz constants, spectra, wavelets, differences over several scales.

A feature of meaning lasts over many tokens, one of syntax comes and goes. Each number is measured for the whole code and for each
part of it (high and low of a T-SAE, the groups of a Matryoshka SAE, predicted and novel), within documents; the table `parts` has
the parts. Where each site has codes of its own, each site's signals are followed alone and all are pooled.

Source: T-SAE, `evaluation.py`; its own numbers are the metrics `*_as_tsae`.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch

from monoseme.evaluation._base import EvalResult, EvalSubject
from monoseme.evaluation._bootstrap import DocumentWeights
from monoseme.evaluation._chunks import Chunk, DocumentRows, TokenChunk, document_rows
from monoseme.evaluation._formula import evaluate, missing
from monoseme.evaluation._ledger import Ledger
from monoseme.evaluation._meter import NO_TOKENS
from monoseme.evaluation._metric import Definition, Metric
from monoseme.evaluation._shared_pass import subject_facts
from monoseme.evaluation._signals import Stretch, moves, signals, stretches, whole_contexts
from monoseme.evaluation._smoothness_as_tsae import AS_TSAE, context_sums
from monoseme.evaluation._smoothness_sums import SMOOTHNESS, stretch_sums
from monoseme.evaluation._streamed import Stream, StreamedEvaluation
from monoseme.evaluation._tables import metric_table
from monoseme.saes import Codes
from monoseme.splice import Placed
from monoseme.tensors.shapes import Tensor
from monoseme.tensors.sparse import SparseCodes

_OFF = "as_tsae is off"


class Smoothness(StreamedEvaluation):
    """How smoothly codes change from token to token, whole and by parts, with standard errors over documents."""

    @dataclass(frozen=True, kw_only=True)
    class Config(StreamedEvaluation.Config):
        """What to measure on, and in which forms."""

        as_tsae: bool = True
        """Also T-SAE's own numbers, of whole contexts; they take about as long as all others."""

    config: Config

    @classmethod
    def definitions(cls) -> tuple[Definition, ...]:
        """All metrics; each part in the table `parts` has the same."""
        return tuple(f.definition for f in (*SMOOTHNESS, *AS_TSAE))

    def start(self, subject: EvalSubject, weights: DocumentWeights) -> Stream:
        """What gathers one subject's signals."""
        return _Signals(subject, weights, self.config)


class _Signals:
    """Sums over the stretches of one subject, by part."""

    def __init__(self, subject: EvalSubject, weights: DocumentWeights, config: Smoothness.Config) -> None:
        self._subject, self._weights, self._config = subject, weights, config
        self._placed = subject.placed
        self._parts: dict[str, tuple[Ledger, Ledger]] = {}
        self._n_tokens = 0

    @torch.no_grad()
    def update(self, chunk: Chunk) -> None:
        """Adds the unmasked tokens of a chunk."""
        mask = chunk.text.mask
        codes = self._placed.encode(chunk.activations, mask)
        xs = _moving(self._placed, chunk)
        self._n_tokens += int(mask.sum())
        for part in self._names(codes):
            each = self._placed.per_site(codes.sparse(part))
            ours, theirs = self._parts.setdefault(part, (Ledger(self._weights, None), Ledger(self._weights, None)))
            for code, x in zip(each, xs, strict=True):
                _add(ours, [(s, stretch_sums(signals(code, s), moves(x, s))) for s in stretches(chunk.text)])
                if self._config.as_tsae:
                    _add(theirs, _contexts(chunk.text, code, x))

    def _names(self, codes: Codes) -> list[str]:
        return list(codes.parts) if self._subject.part is None else [self._subject.part]

    def result(self) -> EvalResult:
        """The whole code's numbers, and those of its parts as a table."""
        per_part = {part: self._metrics(*ledgers) for part, ledgers in self._parts.items()}
        whole = next(iter(per_part.values()), missing((*SMOOTHNESS, *AS_TSAE), NO_TOKENS))
        n_documents = max((ours.n_documents for ours, _ in self._parts.values()), default=0)
        return EvalResult(
            evaluation="smoothness",
            subject=self._subject.name,
            metrics=tuple(whole),
            tables={"parts": metric_table("part", per_part)},
            facts=subject_facts(self._subject, self._config, n_tokens=self._n_tokens, n_documents=n_documents),
        )

    def _metrics(self, ours: Ledger, theirs: Ledger) -> list[Metric]:
        found = evaluate(SMOOTHNESS, ours.whole(), n_documents=ours.n_documents)
        if not self._config.as_tsae:
            return found + missing(AS_TSAE, _OFF)
        return found + evaluate(AS_TSAE, theirs.whole(), n_documents=theirs.n_documents)


def _moving(placed: Placed, chunk: Chunk) -> list[Tensor]:
    """For each site with codes of its own, its activations [T, D]; else those of all inputs side by side."""
    xs = [chunk.activations[site] for site in placed.inputs]
    rows = [x[chunk.text.mask.to(x.device)] for x in xs]
    return rows if placed.sae.codes_per_site else [torch.cat(rows, dim=1)]


def _contexts(text: TokenChunk, code: SparseCodes, x: Tensor) -> list[tuple[Stretch, Mapping[str, float]]]:
    return [(s, context_sums(signals(code, s), moves(x, s))) for s in whole_contexts(text)]


def _add(ledger: Ledger, found: "list[tuple[Stretch, Mapping[str, float]]]") -> None:
    """Adds the sums of stretches to their documents."""
    rows: DocumentRows = document_rows(torch.tensor([stretch.document for stretch, _ in found]))
    names = list(found[0][1])
    values = rows.sums(torch.tensor([[sums[name] for name in names] for _, sums in found], dtype=torch.float64))
    ledger.add(dict(zip(names, values.unbind(1), strict=True)), rows)
