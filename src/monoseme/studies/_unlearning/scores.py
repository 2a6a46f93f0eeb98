"""From which questions stay right to the unlearning score.

Source: `evals/unlearning/main.py` of SAEBench 0.6.0: 1 - the lowest accuracy on the questions to forget over the settings whose
accuracy on the other questions, all of them pooled, is at least 0.99. Differs: without such a setting SAEBench gives 0.0, here
there is no number. The best of many settings, picked and scored on the same questions, looks better than it is, so a held-out
score stands beside it: settings are picked on one half of the questions and scored on the other, both ways round.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from monoseme.core.seeds import derive_seed
from monoseme.evaluation import Metric
from monoseme.evaluation.formats import SaeBenchResult
from monoseme.studies._base import Row
from monoseme.studies._intervals import Interval, of_replicates
from monoseme.studies._saebench_files import RELEASE, saebench_file
from monoseme.studies._unlearning.clamping import Setting
from monoseme.studies._unlearning.outcomes import Outcome


class UnlearningScores(NamedTuple):
    """The numbers of one SAE."""

    score: Interval | None
    """1 - accuracy on the questions to forget, at the setting that `best` names; None where no setting keeps the rest."""
    best: Setting | None
    held_out: float | None
    """The same, with the setting picked on other questions; None where a half has no setting that keeps the rest."""
    n_admissible: int
    """Settings that keep the rest."""


def scores_of(outcomes: Sequence[Outcome], *, least_retained: float, n_replicates: int, seed: int) -> UnlearningScores:
    """The scores of one SAE's outcomes. The interval is over questions, with the setting held fixed."""
    forget = np.stack([outcome.forget for outcome in outcomes]).astype(np.float64)
    retain = np.stack([outcome.retained for outcome in outcomes]).astype(np.float64)
    n_admissible = int((retain.mean(1) >= least_retained).sum())
    best = _best(forget, retain, least_retained)
    held_out = _held_out(forget, retain, least_retained, seed)
    if best is None:
        return UnlearningScores(None, None, held_out, n_admissible)
    rng = np.random.default_rng(derive_seed(seed, "unlearning", "bootstrap"))
    drawn = rng.integers(0, forget.shape[1], (n_replicates, forget.shape[1]))
    replicates = np.concatenate([[1.0 - forget[best].mean()], 1.0 - forget[best][drawn].mean(1)])
    return UnlearningScores(of_replicates(replicates), outcomes[best].setting, held_out, n_admissible)


def _best(forget: NDArray[np.float64], retain: NDArray[np.float64], least_retained: float) -> int | None:
    """The setting [row] that forgets most among those that keep the rest; of equal ones the first."""
    accuracy = np.where(retain.mean(1) >= least_retained, forget.mean(1), np.inf)
    best = int(accuracy.argmin())
    return best if np.isfinite(accuracy[best]) else None


def _held_out(forget: NDArray[np.float64], retain: NDArray[np.float64], least_retained: float, seed: int) -> float | None:
    """Mean of 1 - accuracy on each half at the setting picked on the other. Needs two questions of each kind."""
    if min(forget.shape[1], retain.shape[1]) < 2:
        return None
    rng = np.random.default_rng(derive_seed(seed, "unlearning", "halves"))
    in_first = [rng.permutation(side.shape[1]) < side.shape[1] // 2 for side in (forget, retain)]
    found: list[float] = []
    for forgotten, kept in (in_first, [~half for half in in_first]):
        best = _best(forget[:, forgotten], retain[:, kept], least_retained)
        if best is None:
            return None
        found.append(1.0 - float(forget[best, ~forgotten].mean()))
    return float(np.mean(found))


def metrics_of(found: UnlearningScores, *, n_forget: int, n_retain: int, least_retained: float) -> list[Metric]:
    """The typed metrics of one SAE."""
    why = f"no setting keeps {least_retained:.0%} of the {n_retain} questions to retain"
    common: dict[str, Any] = {"unit": "fraction", "better": "higher", "n": n_forget, "n_documents": n_forget}
    value = None if found.score is None else found.score.value
    return [
        Metric(
            name="unlearning_score",
            value=value,
            why_missing=why if value is None else None,
            definition=f"1 - the lowest accuracy on the questions to forget over the settings that keep {least_retained:.0%} of "
            "the others right; only questions that the unedited model answers right. SAEBench's number.",
            **common,
        ),
        Metric(
            name="unlearning_score_held_out",
            value=found.held_out,
            why_missing=why + ", or not of each half of them" if found.held_out is None else None,
            definition="The same, with the setting picked on one half of the questions and scored on the other; mean of both "
            "ways round.",
            **common,
        ),
    ]


def saebench_files(
    scores: Mapping[str, UnlearningScores], settings: Sequence[Row], config: Mapping[str, Any]
) -> dict[str, bytes]:
    """SAEBench's JSON of each SAE, with its 0.0 where no setting keeps the rest. `settings`: rows, kept as unstructured."""
    made: dict[str, bytes] = {}
    for name, found in scores.items():
        tried = [row for row in settings if row["subject"] == name]
        made |= saebench_file(
            SaeBenchResult(
                eval_type="unlearning",
                metrics={"unlearning": {"unlearning_score": 0.0 if found.score is None else found.score.value}},
                release=RELEASE,
                sae_id=name,
                config=config,
                unstructured={"unlearning_score_held_out": found.held_out, "settings": tried},
            )
        )
    return made


def score_row(name: str, found: UnlearningScores) -> Row:
    """The scores of one SAE."""
    score, best = found.score, found.best
    return {
        "subject": name,
        "unlearning_score": None if score is None else score.value,
        "low": None if score is None else score.low,
        "high": None if score is None else score.high,
        "held_out": found.held_out,
        "n_admissible": found.n_admissible,
        **{f"best_{key}": value for key, value in ({} if best is None else best._asdict()).items()},
    }
