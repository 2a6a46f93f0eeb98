"""How smoothly codes change over time: total variation, Lipschitz constants, spectra, wavelets, several scales, autocorrelation.

A feature of meaning lasts over many tokens, one of syntax comes and goes. Each number is measured for the whole code and for each
part of it (high and low of a T-SAE, the groups of a Matryoshka SAE, predicted and novel), within documents; the table `parts` has
the parts, `autocorrelation` their autocorrelation over lags, `latents` how each latent behaves. Where each site has codes of its
own, each site's signals are followed alone and all are pooled.

Smooth is easy for what says nothing, and for what fires everywhere: so there is also what each part explains by itself, and
variation against what the same codes have in random order.

Source: T-SAE (arXiv:2511.05541), `evaluation.py`; its own numbers are the metrics `*_as_tsae`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from monoseme.core.errors import ConfigError
from monoseme.evaluation._base import EvalResult, EvalSubject
from monoseme.evaluation._bootstrap import DocumentWeights, WeightedSums
from monoseme.evaluation._chunks import Chunk
from monoseme.evaluation._formula import Formula, missing
from monoseme.evaluation._meter import NO_TOKENS
from monoseme.evaluation._metric import Definition, Metric
from monoseme.evaluation._shared_pass import subject_facts
from monoseme.evaluation._signals import moves
from monoseme.evaluation._smoothness_alone import ALONE, Alone
from monoseme.evaluation._smoothness_as_tsae import AS_TSAE
from monoseme.evaluation._smoothness_autocorrelation import MEMORY
from monoseme.evaluation._smoothness_part import PartOverTime, Signals, curve_table, latent_table, metrics_of, replicates_of
from monoseme.evaluation._smoothness_sums import SMOOTHNESS
from monoseme.evaluation._streamed import Stream, StreamedEvaluation
from monoseme.evaluation._tables import metric_table
from monoseme.saes import Codes
from monoseme.splice import Placed
from monoseme.tensors.shapes import Tensor

_OPTIONAL = {"as_tsae": AS_TSAE, "fvu": ALONE}
"""Setting -> the metrics that it adds."""
_ALL = (*SMOOTHNESS, *MEMORY, *ALONE, *AS_TSAE)


class Smoothness(StreamedEvaluation):
    """How smoothly codes change from token to token, whole and by parts, with standard errors over documents."""

    @dataclass(frozen=True, kw_only=True)
    class Config(StreamedEvaluation.Config):
        """What to measure on, and in which forms."""

        as_tsae: bool = True
        """Also T-SAE's own numbers, of whole contexts; they take nearly as long as all others."""
        fvu: bool = True
        """Also what each part explains by itself, a decode for each."""
        n_lags: int = 64
        """Lags of the autocorrelation, from 0 (count); a time longer than a fifth of it cannot be told."""

        def __post_init__(self) -> None:
            """Raises ConfigError for fewer than two lags, or a count below 1."""
            super().__post_init__()
            if self.n_lags < 2:
                raise ConfigError(f"n_lags must be at least 2, not {self.n_lags}")

    config: Config

    @classmethod
    def definitions(cls) -> tuple[Definition, ...]:
        """All metrics; each part in the table `parts` has the same."""
        return tuple(f.definition for f in _ALL)

    def start(self, subject: EvalSubject, weights: DocumentWeights) -> Stream:
        """What gathers one subject's signals."""
        return _Signals(subject, weights, self.config)


class _Signals:
    """Sums over the stretches of one subject, by part."""

    def __init__(self, subject: EvalSubject, weights: DocumentWeights, config: Smoothness.Config) -> None:
        self._subject, self._weights, self._config = subject, weights, config
        self._placed = subject.placed
        self._parts: dict[str, PartOverTime] = {}
        self._alone: dict[str, Alone] = {}
        self._n_tokens = 0

    @torch.no_grad()
    def update(self, chunk: Chunk) -> None:
        """Adds the unmasked tokens of a chunk."""
        codes = self._placed.encode(chunk.activations, chunk.text.mask)
        moved = [moves(x) for x in _moving(self._placed, chunk)]
        self._n_tokens += int(chunk.text.mask.sum())
        for part in self._names(codes):
            each = self._placed.per_site(codes.sparse(part))
            over_time = self._parts.setdefault(part, self._new(len(each)))
            over_time.update(chunk.text, [Signals(code, m) for code, m in zip(each, moved, strict=True)])
            if self._config.fvu:
                self._alone.setdefault(part, Alone(self._placed, self._weights)).update(chunk, codes, part)

    def _names(self, codes: Codes) -> list[str]:
        return list(codes.parts) if self._subject.part is None else [self._subject.part]

    def _new(self, n_sites: int) -> PartOverTime:
        config, n_latents = self._config, self._subject.sae.n_latents
        return PartOverTime(n_latents, self._weights, n_sites=n_sites, n_lags=config.n_lags, as_tsae=config.as_tsae)

    def result(self) -> EvalResult:
        """The whole code's numbers, and those of its parts as tables."""
        sums = {part: self._sums(part) for part in self._parts}
        n_documents = max((part.n_documents for part in self._parts.values()), default=0)
        per_part = {part: self._metrics(found, n_documents) for part, found in sums.items()}
        first = next(iter(self._parts), None)
        tables = {"parts": metric_table("part", per_part)}
        if self._parts:
            tables["autocorrelation"] = curve_table(self._parts)
            tables["latents"] = latent_table(self._parts, n_tokens=self._n_tokens)
        return EvalResult(
            evaluation="smoothness",
            subject=self._subject.name,
            metrics=tuple(missing(_ALL, NO_TOKENS) if first is None else per_part[first]),
            tables=tables,
            facts=subject_facts(self._subject, self._config, n_tokens=self._n_tokens, n_documents=n_documents),
            replicates={} if first is None else replicates_of(sums[first]),
        )

    def _sums(self, part: str) -> list[tuple[Sequence[Formula], WeightedSums]]:
        made = self._parts[part].sums()
        return [*made, (ALONE, self._alone[part].sums())] if self._config.fvu else made

    def _metrics(self, sums: list[tuple[Sequence[Formula], WeightedSums]], n_documents: int) -> list[Metric]:
        """In the order of the definitions, with the reason where a setting leaves some out."""
        found = metrics_of(sums, n_documents=n_documents)
        for setting, formulas in _OPTIONAL.items():
            if not getattr(self._config, setting):
                found += missing(formulas, f"{setting} is off")
        by_name = {metric.name: metric for metric in found}
        return [by_name[f.definition.name] for f in _ALL]


def _moving(placed: Placed, chunk: Chunk) -> list[Tensor]:
    """For each site with codes of its own, its activations [T, D]; else those of all inputs side by side."""
    xs = [chunk.activations[site] for site in placed.inputs]
    rows = [x[chunk.text.mask.to(x.device)] for x in xs]
    return rows if placed.sae.codes_per_site else [torch.cat(rows, dim=1)]
