"""From what was said of excerpts to scores: whole, for each tenth of the activations, and of the controls beside them.

Letters: n items of one latent.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from monoseme.atlas.said import Score
from monoseme.atlas.score import _errors as errors
from monoseme.atlas.score import _numbers as numbers
from monoseme.atlas.score._choice import ChoiceConfig, why_no_control
from monoseme.atlas.score._items import Item

_CONTROLS = {"other": "another latent's explanation", "empty": "no explanation", "lookup": "the table of the latent's tokens"}


class Said(NamedTuple):
    """What was said of each item; arrays [n]."""

    strength: NDArray[np.float64]
    """The larger, the surer that it fires; NaN where nothing usable was said."""
    says: NDArray[np.bool_]
    """Whether it was said to fire."""

    @property
    def is_known(self) -> NDArray[np.bool_]:
        """Where something usable was said, [n]."""
        return np.isfinite(self.strength)


def definitions_of(item: str, says: str) -> dict[str, str]:
    """The numbers of `measured` in words; `item` is what is judged, `says` how it is said that a latent fires there."""
    found = {
        "balanced_accuracy": f"(share of held-out firing {item}s that {says} + share of the others that are not) / 2; in [0, 1],"
        f" higher is better, 0.5 is chance; {errors.TOLD}",
        "auroc": f"probability that a held-out firing {item} is said to fire more surely than another, ties half; in [0, 1],"
        " higher is better, 0.5 is chance",
        "hit_rate": f"share of held-out firing {item}s that {says}; in [0, 1], higher is better",
        "false_alarm_rate": f"share of the other {item}s that {says}; in [0, 1], lower is better",
    }
    for control, words in _CONTROLS.items():
        bar = "the bar to beat" if control == "lookup" else "control"
        for name in ("balanced_accuracy", "auroc"):
            found[f"{name}_{control}"] = f"{bar}: {name.replace('_', ' ')} of {words}"
    return found | {
        "failed_fraction": "share of the latent's questions that brought no usable answer; in [0, 1], lower is better"
    }


def measured(latent: int, items: Sequence[Item], said: Mapping[str, Said], config: ChoiceConfig) -> Iterator[Score]:
    """All numbers of `definitions_of` but the last, then those of each tenth. `said` has `own`, and what controls there are."""
    documents = np.array([item.excerpt.document for item in items], dtype=np.int64)
    fires = np.array([item.fires for item in items], dtype=bool)
    weights = numbers.document_weights(documents, seed=config.seed)
    trial = _Trial(fires, documents, weights)
    yield from _pair(latent, said["own"], trial)
    yield from _rates(latent, said["own"], trial)
    for control in _CONTROLS:
        if control in said:
            yield from _pair(latent, said[control], trial, suffix=f"_{control}")
        else:
            names = [f"{name}_{control}" for name in ("balanced_accuracy", "auroc")]
            yield from missing(latent, names, why_no_control(control, config))
    for decile in sorted({item.decile for item in items if item.decile is not None}):
        wanted = np.array([not item.fires or item.decile == decile for item in items], dtype=bool)
        part = Said(said["own"].strength[wanted], said["own"].says[wanted])
        yield from _pair(latent, part, _Trial(fires[wanted], documents[wanted], weights[:, wanted]), decile=decile)


class _Trial(NamedTuple):
    fires: NDArray[np.bool_]
    """[n] what is true."""
    documents: NDArray[np.int64]
    """[n]"""
    weights: NDArray[np.float64]
    """[W, n]"""


def _pair(latent: int, said: Said, trial: _Trial, *, suffix: str = "", decile: int | None = None) -> Iterator[Score]:
    known = said.is_known
    fires, documents, weights, n = trial.fires[known], trial.documents[known], trial.weights[:, known], int(known.sum())
    auroc = numbers.weighted_auroc(said.strength[known], fires, weights)
    found = {
        "balanced_accuracy": numbers.estimate(
            numbers.balanced_accuracy(said.says[known], fires, weights),
            least=errors.least_balanced_error(said.says[known], fires, documents),
        ),
        "auroc": numbers.estimate(auroc, least=errors.least_auroc_error(float(auroc[0]), fires, documents)),
    }
    why = "no usable answer about firing excerpts, or none about the others"
    for name, estimate in found.items():
        yield score_of(latent, f"{name}{suffix}", estimate, n=n, why=why, decile=decile)


def _rates(latent: int, said: Said, trial: _Trial) -> Iterator[Score]:
    for name, is_wanted in (("hit_rate", trial.fires), ("false_alarm_rate", ~trial.fires)):
        chosen = is_wanted & said.is_known
        least = errors.least_share_error(said.says[chosen], trial.documents[chosen])
        found = numbers.estimate(numbers.mean(said.says[chosen], trial.weights[:, chosen]), least=least)
        yield score_of(latent, name, found, n=int(chosen.sum()), why="no usable answer about such excerpts")


def score_of(latent: int, name: str, found: numbers.Estimate, *, n: int, why: str, decile: int | None = None) -> Score:
    """A score from an estimate; `why` it is missing, where it is."""
    value, error, low, high = found
    missing = None if value is not None else why
    return Score(
        latent=latent, name=name, value=value, why_missing=missing, n=n, standard_error=error, low=low, high=high, decile=decile
    )


def missing(latent: int, names: Sequence[str], why: str, *, n: int = 0) -> Iterator[Score]:
    """Every number of a latent that cannot be scored, each with the reason."""
    return (Score(latent=latent, name=name, value=None, why_missing=why, n=n) for name in names)
