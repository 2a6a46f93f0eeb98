"""All probes of one data set: for each class and seed, of every representation; kept, so that a study that resumes goes on.

FILE.json   {"dataset", "classes", "n_texts", "n_sources", "n_test", "accuracies": [{"label", "subject", "measure", ...}], ...}
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from monoseme.core.display import get_display
from monoseme.core.files import read_json, write_json
from monoseme.core.seeds import derive_seed
from monoseme.evaluation import DocumentWeights
from monoseme.evaluation._latent_effects_probes import ProbeSchedule
from monoseme.evaluation._probes import Features, Ints, over_seeds
from monoseme.studies._base import Row
from monoseme.studies._kept_files import reading
from monoseme.studies._labelled.pooled import Pooled
from monoseme.studies._probing.features import principal_components
from monoseme.studies._sparse_probing.full import full_probes
from monoseme.studies._sparse_probing.probes import Bools, Said, Sample, few_features, sample, telling

FULL = "all"
"""The measure of a probe of all features; those of few are called by their number."""
_TOLD = 10
"""Latents of a class that are told."""
Floats = NDArray[np.float64]


class Settings(NamedTuple):
    """How probes are fitted."""

    n_features: tuple[int, ...]
    n_train: int
    n_test: int
    seeds: tuple[int, ...]
    n_replicates: int
    epochs: int
    seed: int


class Accuracy(NamedTuple):
    """What the probes of one class make of one representation, over all seeds."""

    label: str
    subject: str
    measure: str
    """Number of features, or `FULL`."""
    ours: list[float | None]
    """[W]: under each weighting of the test texts; None where no text counts."""
    as_saebench: list[float | None]


class Measured(NamedTuple):
    """One data set with all its probes."""

    dataset: str
    classes: list[str]
    n_texts: int
    n_sources: int
    n_test: list[int]
    """Test texts of each class's probe, of the last seed."""
    accuracies: list[Accuracy]
    latents: list[Row]
    """Of the first seed: the latents that tell a class."""

    def replicates(self, subject: str, measure: str, *, as_saebench: bool = False) -> Floats | None:
        """[W]: mean over classes under each weighting; None where it was not measured."""
        found = [
            each.as_saebench if as_saebench else each.ours
            for each in self.accuracies
            if (each.subject, each.measure) == (subject, measure)
        ]
        return np.mean(np.array(found, dtype=np.float64), axis=0) if found else None


def read_measured(file: Path) -> Measured:
    """What `write_measured` wrote. Raises ArtifactDamagedError."""
    with reading(file):
        plain = Measured(**read_json(file))
        accuracies: Any = plain.accuracies
        return plain._replace(accuracies=[Accuracy(**each) for each in accuracies])


def write_measured(file: Path, found: Measured) -> None:
    """Keeps a data set. Raises DiskFullError."""
    write_json(file, found._asdict() | {"accuracies": [each._asdict() for each in found.accuracies]})


def measure(pooled: Pooled, settings: Settings) -> Measured:
    """Fits every probe on every seed. A class without texts on both sides of a split is left out of that seed, and told."""
    texts = pooled.texts
    weights = _weights_of(texts.units, settings, texts.name)
    found: dict[tuple[str, str, str], list[tuple[Floats, Floats]]] = defaultdict(list)
    latents: list[Row] = []
    n_test: list[int] = []
    with get_display().progress(f"probes: {texts.name}", total=len(settings.seeds), unit="seeds") as progress:
        for seed in settings.seeds:
            test = texts.test_side(seed)
            samples = _samples(texts.labels, test, texts.classes, settings, seed)
            n_test = [int(each.is_test.sum()) for each in samples.values()]
            for name, x in representations(pooled, test).items():
                if seed == settings.seeds[0] and name in pooled.codes:
                    latents += _latents(name, x, samples, texts.classes, texts.name)
                for label, measured, said in _said(x, samples, texts.labels, settings, seed):
                    counts = weights[samples[label].rows[samples[label].is_test]]
                    accuracies = (_accuracies(said.right, counts), _accuracies(said.as_saebench, counts))
                    found[texts.classes[label], name, measured].append(accuracies)
            progress.advance()
    accuracies = [Accuracy(*key, *(_over_seeds(list(of), settings.seed) for of in zip(*each, strict=True)))
                  for key, each in found.items()]  # fmt: skip
    classes = list(dict.fromkeys(each.label for each in accuracies))
    return Measured(texts.name, classes, len(texts), len(np.unique(texts.units)), n_test, accuracies, latents)


def _over_seeds(per_seed: list[Floats], seed: int) -> list[float | None]:
    return [float(value) if np.isfinite(value) else None for value in over_seeds(per_seed, seed=seed)]


def representations(pooled: Pooled, test: Bools) -> dict[str, Features]:
    """What probes read: the codes of each subject, and at each site the activations and their principal components."""
    found: dict[str, Features] = dict(pooled.codes)
    for site, x in pooled.activations.items():
        where = f" ({site})" if len(pooled.activations) > 1 else ""
        found[f"activations{where}"] = x
        found[f"PCA{where}"] = principal_components(x, test)
    return found


def _samples(labels: Ints, test: Bools, classes: Sequence[str], settings: Settings, seed: int) -> dict[int, Sample]:
    made: dict[int, Sample] = {}
    for label, name in enumerate(classes):
        rng = np.random.default_rng(derive_seed(seed, "sample", label))
        one = sample(labels, label, test, n_train=settings.n_train, n_test=settings.n_test, rng=rng)
        if len(np.unique(one.is_positive[one.is_test])) == len(np.unique(one.is_positive[~one.is_test])) == 2:
            made[label] = one
        else:
            get_display().say(f"{name} has no text on one side of the split of seed {seed}: it is left out there")
    return made


def _said(x: Features, samples: Mapping[int, Sample], labels: Ints, settings: Settings, seed: int) -> list[tuple[int, str, Said]]:
    made: list[tuple[int, str, Said]] = []
    for label, one in samples.items():
        best = telling(x, one)
        made += [(label, str(n), few_features(x, one, n, best)) for n in settings.n_features if n <= _width(x)]
    schedule = ProbeSchedule(epochs=settings.epochs, lr=1e-2, l1=0.0, batch_size=250, seed=seed)
    full = full_probes(x, list(samples.values()), labels=labels, schedule=schedule)
    return made + [(label, FULL, said) for label, said in zip(samples, full or (), strict=False)]


def _width(x: Features) -> int:
    shape: Any = x.shape
    return int(shape[1])


def _weights_of(units: Ints, settings: Settings, name: str) -> Floats:
    """[N, W]: how often the source of each text counts in each weighting; the first is all ones."""
    weights = DocumentWeights(n_replicates=settings.n_replicates, seed=derive_seed(settings.seed, "texts", name))
    sources, of = np.unique(units, return_inverse=True)
    return weights.of(sources.tolist()).numpy()[of]


def _accuracies(right: Bools, weights: Floats) -> Floats:
    """[W]: NaN in a weighting in which no text counts."""
    with np.errstate(invalid="ignore"):
        return np.asarray(right @ weights / weights.sum(0), dtype=np.float64)


def _latents(name: str, x: Features, samples: Mapping[int, Sample], classes: Sequence[str], dataset: str) -> list[Row]:
    held: Any = x
    rows: list[Row] = []
    for label, one in samples.items():
        best = telling(x, one)
        columns = held[one.rows][:, best.scaled[:_TOLD]]
        columns = np.asarray(columns.todense() if sp.issparse(columns) else columns)
        as_saebench = {int(latent): rank for rank, latent in enumerate(best.raw, start=1)}
        for rank, latent in enumerate(best.scaled[:_TOLD], start=1):
            fires = columns[:, rank - 1] != 0
            rows.append(
                {
                    "dataset": dataset,
                    "subject": name,
                    "class": classes[label],
                    "rank": rank,
                    "latent": int(latent),
                    "rank_as_saebench": as_saebench[int(latent)],
                    "difference": float(best.differences[latent]),
                    "fires_in_class": float(fires[one.is_positive].mean()),
                    "fires_in_others": float(fires[~one.is_positive].mean()),
                }
            )
    return rows
