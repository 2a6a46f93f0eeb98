"""Detection: do the rules of an explanation tell held-out firings from held-out tokens on which the latent is silent?

Both samples are uniform (over firings, over tokens) and come from documents that made no explanation. Two controls go with every
score: the explanation of another latent, drawn by a seeded shuffle, and the empty explanation, which never says "fires" and so
gets exactly 0.5.

Differs from delphi and SAEBench, which judge whole windows: this judges single tokens, so near misses count as false alarms.
Letters: P held-out firings of one latent, M held-out background tokens.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from monoseme.atlas.evidence import Evidence, Places
from monoseme.atlas.explain._features import FAMILIES, SignReader
from monoseme.atlas.explain._rules import BackgroundIndex
from monoseme.atlas.said import Explanation, Rule, Score
from monoseme.atlas.score import _errors as errors
from monoseme.atlas.score._base import Scorer
from monoseme.atlas.score._controls import others_of
from monoseme.atlas.score._measured import missing
from monoseme.core.errors import ConfigError
from monoseme.core.intervals import Z_95
from monoseme.judges import Desk

_COLUMNS = {family.name: family.columns for family in FAMILIES}


class Detection(Scorer):
    """Balanced accuracy and AUROC on held-out documents, with two controls."""

    definitions = {  # noqa: RUF012 - a class constant of the contract
        "balanced_accuracy": "(share of held-out firings that a rule matches + share of held-out silent tokens that none matches)"
        f" / 2; in [0, 1], higher is better, 0.5 is chance; {errors.TOLD}",
        "auroc": "probability that a held-out firing has a more precise matching rule than a held-out silent token, ties half;"
        " in [0, 1], higher is better, 0.5 is chance",
        "hit_rate": "share of held-out firings that a rule matches; in [0, 1], higher is better",
        "false_alarm_rate": "share of held-out silent tokens that a rule matches; in [0, 1], lower is better",
        "balanced_accuracy_other": "control: balanced accuracy of another latent's explanation; should be near 0.5",
        "balanced_accuracy_empty": "control: balanced accuracy of the explanation that never says it fires; 0.5 by definition",
    }

    @dataclass(frozen=True, kw_only=True)
    class Config(Scorer.Config):
        """From how little, and which shuffle."""

        fewest_firings: int = 4
        """Latents with fewer held-out firings get no score (count)."""
        seed: int = 0
        """Seed of the shuffle that gives each latent another's explanation."""

        def __post_init__(self) -> None:
            if self.fewest_firings < 1:
                raise ConfigError(f"fewest_firings is {self.fewest_firings}, but must be at least 1.")

    def __init__(self, config: Config | None = None, *, desk: Desk | None = None) -> None:
        super().__init__(config, desk=desk)
        self.config = config or self.Config()

    def score(self, evidence: Evidence, explanations: Sequence[Explanation]) -> Iterator[Score]:
        """All numbers of all explanations, in order."""
        reader = SignReader(evidence.text)
        background = evidence.background(heldout=True)
        index = BackgroundIndex(reader.codes(background))
        others = others_of(explanations, seed=self.config.seed, scorer="detection", is_told=lambda said: said.rules)
        for explanation, other in zip(explanations, others, strict=True):
            evidence.latents.check_latent(explanation.latent)
            places = evidence.firings(explanation.latent, heldout=True)
            silent = np.ones(index.n_rows, dtype=bool)
            silent[evidence.fires_in_background(explanation.latent, heldout=True)] = False
            why = self._why_missing(explanation, len(places.document), int(silent.sum()))
            if why is not None:
                yield from missing(explanation.latent, list(self.definitions), why, n=len(places.document))
                continue
            trial = _Trial(reader.codes(places), places, silent, index, background.document)
            yield from _numbers(explanation, other, trial)

    def _why_missing(self, explanation: Explanation, n_firings: int, n_silent: int) -> str | None:
        if explanation.text is None:
            return f"not explained: {explanation.why_missing}"
        is_counted = explanation.n_firings > 0 and explanation.details == "{}"
        if not explanation.rules and not is_counted:  # of a judge or another tool: silence of rules would be no answer
            return "its explanation is text without rules; score it with llm_detection"
        if n_firings < self.config.fewest_firings:
            return f"too few sampled firings in held-out documents: {n_firings}"
        return "no silent token in held-out documents" if n_silent == 0 else None


@dataclass(frozen=True)
class _Trial:
    """What the rules of one latent are tried on."""

    codes: NDArray[np.int64]
    """[P, columns]"""
    firings: Places
    silent: NDArray[np.bool_]
    """[M]"""
    index: BackgroundIndex
    background_documents: NDArray[np.int64]


class _Strengths(NamedTuple):
    """Precision of the most precise rule that matches each token; 0 where none does."""

    firings: NDArray[np.float64]
    silent: NDArray[np.float64]


def _strengths(rules: Sequence[Rule], trial: _Trial) -> _Strengths:
    firings = np.zeros(len(trial.codes))
    background = np.zeros(trial.index.n_rows)
    for rule in rules:
        family, code = rule.condition.family, rule.condition.code
        matched = (trial.codes[:, _COLUMNS[family]] == code).any(axis=1)
        firings[matched] = np.maximum(firings[matched], rule.precision)
        rows = trial.index.rows(family, code)
        background[rows] = np.maximum(background[rows], rule.precision)
    return _Strengths(firings, background[trial.silent])


def _numbers(explanation: Explanation, other: Explanation | None, trial: _Trial) -> Iterator[Score]:
    latent, n = explanation.latent, len(trial.codes)
    found = _strengths(explanation.rules, trial)
    hits, alarms = found.firings > 0, found.silent > 0
    documents = (trial.firings.document, trial.background_documents[trial.silent])
    hit_error, alarm_error = (_share_error(*of) for of in zip((hits, alarms), documents, strict=True))
    area, trials = auroc(found.firings, found.silent), [errors.n_trials(of) for of in documents]
    error = area_error = None
    if hit_error is not None and alarm_error is not None:
        error, area_error = errors.balanced_error(hit_error, alarm_error), errors.auroc_error(area, trials[0], trials[1])
    empty = _strengths((), trial)
    yield _told(latent, "balanced_accuracy", _balanced(found), n=n, error=error)
    yield _told(latent, "auroc", area, n=n, error=area_error)
    yield _told(latent, "hit_rate", float(hits.mean()), n=n, error=hit_error)
    yield _told(latent, "false_alarm_rate", float(alarms.mean()), n=len(found.silent), error=alarm_error)
    if other is None:
        why = "no other latent was explained"
        yield Score(latent=latent, name="balanced_accuracy_other", value=None, why_missing=why, n=n)
    else:
        value = _balanced(_strengths(other.rules, trial))
        yield Score(latent=latent, name="balanced_accuracy_other", value=value, n=n)
    yield Score(latent=latent, name="balanced_accuracy_empty", value=_balanced(empty), n=n)


def _balanced(strengths: _Strengths) -> float:
    return float((strengths.firings > 0).mean() + (strengths.silent == 0).mean()) / 2


def auroc(positives: NDArray[np.float64], negatives: NDArray[np.float64]) -> float:
    """Probability that a positive is larger than a negative, ties counted half. Both must have members."""
    ordered = np.sort(negatives)
    below = np.searchsorted(ordered, positives, side="left")
    up_to = np.searchsorted(ordered, positives, side="right")
    return float((below + up_to).sum() / (2 * len(positives) * len(negatives)))


def _told(latent: int, name: str, value: float, *, n: int, error: float | None) -> Score:
    """A number in [0, 1] with its interval, value +- 1.96 errors within [0, 1]; without one where there is no error."""
    half = None if error is None else Z_95 * error
    low, high = (None, None) if half is None else (max(0.0, value - half), min(1.0, value + half))
    return Score(latent=latent, name=name, value=value, n=n, standard_error=error, low=low, high=high)


def _share_error(outcomes: NDArray[np.bool_], documents: NDArray[np.int64]) -> float | None:
    """Standard error of a share, with documents as the units that vary; None from a single document."""
    variance = _clustered_variance(outcomes, documents)
    if variance is None:
        return None
    return max(float(np.sqrt(variance)), errors.share_error(float(outcomes.mean()), errors.n_trials(documents)))


def _clustered_variance(outcomes: NDArray[np.bool_], documents: NDArray[np.int64]) -> float | None:
    """Variance of a mean whose terms depend on each other inside a document (linearised ratio, between documents)."""
    _, which = np.unique(documents, return_inverse=True)
    n_documents = int(which.max()) + 1
    if n_documents < 2:
        return None
    residual = np.bincount(which, weights=outcomes - outcomes.mean())
    return float((residual**2).sum() / len(outcomes) ** 2 * n_documents / (n_documents - 1))
