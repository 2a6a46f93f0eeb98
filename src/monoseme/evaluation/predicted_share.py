"""How much of the activations the context predicts: what the predicted and the novel part of a code explain, alone and together.

For TFA, and any SAE whose codes have the parts `predicted` and `novel`. The predicted part should carry slow information that the
whole context shares: few directions, little change from token to token; the novel part the rest. Of any other SAE the rank and
the change of the whole code are measured, to compare with.

Source: "Priors in Time: Missing Inductive Biases for Language Model Interpretability", arXiv:2511.01836; its training log
(energies, similarities) and its demonstration (effective rank at 99.9 % of the cumulative variance).
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch

from monoseme.core.errors import ConfigError
from monoseme.evaluation._base import EvalResult, EvalSubject
from monoseme.evaluation._bootstrap import DocumentWeights
from monoseme.evaluation._chunks import Chunk, DocumentRows, document_rows
from monoseme.evaluation._formula import Formula, evaluate, missing, replicates
from monoseme.evaluation._ledger import Ledger
from monoseme.evaluation._meter import NO_TOKENS
from monoseme.evaluation._metric import Definition, Metric
from monoseme.evaluation._share_sums import SHARES, Parts, code_cosines, effective_rank, share_sums, slowness_formulas
from monoseme.evaluation._shared_pass import subject_facts
from monoseme.evaluation._signals import signals, stretches
from monoseme.evaluation._smoothness_sums import variation
from monoseme.evaluation._streamed import Stream, StreamedEvaluation
from monoseme.evaluation._token_sums import per_document
from monoseme.saes import Codes
from monoseme.splice import without_code
from monoseme.tensors.running import float64_device
from monoseme.tensors.shapes import Float, Tensor

PARTS = ("predicted", "novel")
_OVER_TIME = ("tv", "level", "rank", "entropy_rank")


class PredictedShare(StreamedEvaluation):
    """What predicted and novel parts explain alone and together, and how slowly each changes."""

    @dataclass(frozen=True, kw_only=True)
    class Config(StreamedEvaluation.Config):
        """What to measure on, and what counts as a rank."""

        rank_share: float = 0.999
        """Share of the squared norm that the effective rank's directions hold, as TFA's demonstration has it."""
        rank_tokens: int = 8
        """Stretches of fewer tokens have no effective rank: theirs is about their length (count)."""

        def __post_init__(self) -> None:
            """Raises ConfigError for a share outside (0, 1), or a count below 1."""
            super().__post_init__()
            if not 0 < self.rank_share < 1:
                raise ConfigError(f"rank_share must lie between 0 and 1, not {self.rank_share}")
            if self.rank_tokens < 1:
                raise ConfigError(f"rank_tokens must be at least 1, not {self.rank_tokens}")

    @classmethod
    def definitions(cls) -> tuple[Definition, ...]:
        """All metrics, with the default share of the effective rank."""
        return tuple(f.definition for f in (*_of_parts(cls.Config()), *_of_whole(cls.Config())))

    def start(self, subject: EvalSubject, weights: DocumentWeights) -> Stream:
        """What gathers one subject's parts."""
        return _Shares(subject, weights, self.config)


def _of_parts(config: PredictedShare.Config) -> tuple[Formula, ...]:
    """What needs both parts."""
    return (*SHARES, *(formula for part in PARTS for formula in slowness_formulas(part, share=config.rank_share)))


def _of_whole(config: PredictedShare.Config) -> tuple[Formula, ...]:
    """What every SAE has."""
    return slowness_formulas("all", share=config.rank_share)


class _Shares:
    """Sums of one subject."""

    def __init__(self, subject: EvalSubject, weights: DocumentWeights, config: PredictedShare.Config) -> None:
        self._subject, self._config = subject, config
        self._placed = subject.placed
        self._ledger = Ledger(weights, None)
        self._shift: Tensor | None = None
        self._n_tokens = 0
        self._why = f"the SAE gives back {len(self._placed.outputs)} sites" if len(self._placed.outputs) > 1 else None
        self._why_no_parts: str | None = None

    @torch.no_grad()
    def update(self, chunk: Chunk) -> None:
        """Adds the unmasked tokens of a chunk."""
        mask = chunk.text.mask
        self._n_tokens += int(mask.sum())
        if self._why is not None:
            return
        codes = self._placed.encode(chunk.activations, mask)
        rows = document_rows(chunk.text.documents[mask].cpu())
        sums = self._over_time(codes, chunk, rows)
        if set(PARTS) <= set(codes.parts):
            x = chunk.activations[self._placed.outputs[0]]
            sums |= per_document(self._per_token(codes, x[mask.to(x.device)]), rows)
        else:
            self._why_no_parts = f"its codes have no parts predicted and novel, but {', '.join(codes.parts)}"
        self._ledger.add(sums, rows)

    def _per_token(self, codes: Codes, x: Float[Tensor, "T D"]) -> dict[str, Tensor]:
        decode = self._placed.sae.decode
        bias = _double(decode(without_code(codes)))
        predicted, novel = (_double(decode(codes.with_all(codes.part(part)))) - bias for part in PARTS)
        parts = Parts(_double(x), bias, predicted, novel)
        if self._shift is None:
            self._shift = parts.x.mean(0)
        values = share_sums(parts, self._shift) | code_cosines(*(codes.dense(part) for part in PARTS))
        return {name: value.cpu() for name, value in values.items()}

    def _over_time(self, codes: Codes, chunk: Chunk, rows: DocumentRows) -> dict[str, Float[Tensor, " M"]]:
        """Total variation and effective ranks of the whole code and of each part, per document."""
        index = {document: i for i, document in enumerate(rows.ids)}
        sparse = {"all": codes.sparse()} | {part: codes.sparse(part) for part in PARTS if part in codes.parts}
        names = ("transitions", "has_rank", *(f"{kind}_{part}" for part in sparse for kind in _OVER_TIME))
        made = {name: torch.zeros(len(rows.ids), dtype=torch.float64) for name in names}
        for stretch in stretches(chunk.text):
            numbers: Mapping[str, float] = self._of_stretch(
                {part: signals(code, stretch) for part, code in sparse.items()}, stretch.stop - stretch.start
            )
            for name, number in numbers.items():
                made[name][index[stretch.document]] += number
        return made

    def _of_stretch(self, parts: Mapping[str, Float[Tensor, "A T"]], n_tokens: int) -> dict[str, float]:
        found: dict[str, float] = {"transitions": float(n_tokens - 1)}
        for part, of_part in parts.items():
            found[f"tv_{part}"], found[f"level_{part}"] = variation(of_part)
        if n_tokens >= self._config.rank_tokens:
            found["has_rank"] = 1.0
            for part, of_part in parts.items():
                rank = effective_rank(of_part, share=self._config.rank_share)
                found |= {f"rank_{part}": float(rank.by_share), f"entropy_rank_{part}": rank.by_entropy}
        return found

    def result(self) -> EvalResult:
        """The metrics; those of parts are missing for an SAE without them."""
        n_documents = self._ledger.n_documents
        why = self._why or (None if self._n_tokens else NO_TOKENS)
        sums = self._ledger.whole()
        metrics: list[Metric] = []
        drawn: dict[str, Tensor] = {}
        for formulas, why_none in ((_of_parts(self._config), why or self._why_no_parts), (_of_whole(self._config), why)):
            if why_none is not None:
                metrics += missing(formulas, why_none)
                continue
            metrics += evaluate(formulas, sums, n_documents=n_documents)
            drawn |= replicates(formulas, sums)
        return EvalResult(
            evaluation="predicted_share",
            subject=self._subject.name,
            metrics=tuple(metrics),
            replicates=drawn,
            facts=subject_facts(self._subject, self._config, n_tokens=self._n_tokens, n_documents=n_documents),
        )


def _double(x: Tensor) -> Tensor:
    return x.detach().to(float64_device(x.device)).to(torch.float64)
