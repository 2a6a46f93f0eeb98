"""The probes of a task, seed by seed: what each says of the test side. Kept in a file, so that a study that resumes goes on.

FILE.json   {"task", "classes", "labels", "units", "n_hidden", "tests": {seed: [example]}, "predictions": [...], "telling": [...]}
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from monoseme.core.display import get_display
from monoseme.core.files import read_json, write_json
from monoseme.evaluation._probes import Features, class_contrasts, fit_probe, telling_features
from monoseme.studies._base import Row
from monoseme.studies._probing.features import Gathered, Rival, Side, rivals


class ProbeSettings(NamedTuple):
    """How probes are fitted."""

    seeds: tuple[int, ...]
    """Of the splits and of what is random; one probe of everything for each."""
    test_fraction: float
    per_class: tuple[int, ...]
    """Features of each class, the most last."""
    inverse_penalty: float
    keeps_telling: bool
    """Whether the features that were selected are told."""


class Prediction(NamedTuple):
    """One fitted probe."""

    rival: str
    is_sae: bool
    per_class: int | None
    """Features selected for each class; None: all features."""
    seed: int
    n_features: int
    converged: bool
    predicted: list[int]
    """Class of each test example of the seed, in the order of `Probed.tests`."""


class Probed(NamedTuple):
    """A task with all its probes."""

    task: str
    classes: list[str]
    labels: list[int]
    """Class of each example."""
    units: list[int]
    """What each example is of; drawn anew by the bootstrap."""
    n_hidden: int
    tests: dict[str, list[int]]
    """Seed -> examples of its test side."""
    predictions: list[Prediction]
    telling: list[Row]
    """Of the first seed: rival, class, rank, feature and its contrast."""


def read_probed(file: Path) -> Probed:
    """The probes that `write_probed` wrote."""
    plain = read_json(file)
    predictions: Sequence[Mapping[str, Any]] = plain["predictions"]
    return Probed(**plain)._replace(predictions=[Prediction(**each) for each in predictions])


def write_probed(file: Path, found: Probed) -> None:
    """Keeps the probes. Raises DiskFullError."""
    write_json(file, found._asdict() | {"predictions": [prediction._asdict() for prediction in found.predictions]})


def probe(gathered: Gathered, settings: ProbeSettings) -> Probed:
    """Fits every rival on every seed."""
    task, entrants = gathered.task, rivals(gathered)
    tests: dict[str, list[int]] = {}
    predictions: list[Prediction] = []
    telling: list[Row] = []
    with get_display().progress(f"probes: {task.name}", total=len(settings.seeds) * len(entrants), unit="fits") as progress:
        for seed in settings.seeds:
            test = task.test_side(test_fraction=settings.test_fraction, seed=seed)
            tests[str(seed)] = np.flatnonzero(test).tolist()
            for rival in entrants:
                x = rival.features(test, seed)
                predictions += _fits(rival, x, gathered, test, settings, seed=seed)
                if rival.is_sae and settings.keeps_telling and seed == settings.seeds[0]:
                    telling += _telling(rival, x, gathered, test, settings.per_class[-1])
                progress.advance()
    labels, units = task.labels.tolist(), task.units.tolist()
    return Probed(task.name, list(task.classes), labels, units, gathered.n_hidden, tests, predictions, telling)


def _fits(rival: Rival, x: Features, gathered: Gathered, test: Side, settings: ProbeSettings, *, seed: int) -> list[Prediction]:
    """The rival with all its features, or with each number of selected ones."""
    labels, n_classes = gathered.task.labels, len(gathered.task.classes)
    chosen: dict[int | None, Any] = {None: slice(None)}
    if rival.is_selected:
        contrasts = class_contrasts(_side(x, ~test), labels[~test], n_classes)
        chosen = {n: np.unique(telling_features(contrasts, n, signed=rival.is_signed)) for n in settings.per_class}
    made: list[Prediction] = []
    for per_class, columns in chosen.items():
        fit = fit_probe(_columns(x, columns), labels, test, inverse_penalty=settings.inverse_penalty)
        said = [int(label) for label in fit.predicted]
        made.append(Prediction(rival.name, rival.is_sae, per_class, seed, fit.n_features, fit.converged, said))
    return made


def _telling(rival: Rival, x: Features, gathered: Gathered, test: Side, n: int) -> list[Row]:
    task = gathered.task
    contrasts = class_contrasts(_side(x, ~test), task.labels[~test], len(task.classes))
    found = telling_features(contrasts, n)
    return [
        {
            "task": task.name,
            "subject": rival.name,
            "class": name,
            "rank": rank,
            "latent": int(latent),
            "contrast": float(contrasts[i, latent]),
        }
        for i, name in enumerate(task.classes)
        for rank, latent in enumerate(found[i], start=1)
        if contrasts[i, latent] > 0
    ]


def _side(x: Any, side: Side) -> Any:
    return x[side]


def _columns(x: Any, columns: Any) -> Any:
    return x[:, columns]
