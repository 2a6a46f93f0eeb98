"""Sparse probes of every letter on one SAE's codes, from one latent to many, their held-out scores, and how letters are split.

Kept as JSON:
    {"classes": {name: {"order", "selected_by", "probes": {k: ...}, "scores": {k: ...}, "split"}}, "left_out": {name: why}}

Letters: N words, C classes, F latents, k latents of a probe.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from monoseme.core.display import get_display
from monoseme.core.files import read_json, write_json
from monoseme.probes import (
    FeatureSplit,
    LinearProbe,
    ProbeScores,
    ProbeTraining,
    SparseProbe,
    Split,
    cosines,
    fit_sparse,
    l1_weights,
    main_latents,
    mean_differences,
    scores_of,
    top_latents,
)
from monoseme.probes.sparse import columns_of
from monoseme.studies._first_letter.config import FirstLetterConfig
from monoseme.studies._kept_files import reading

Floats = NDArray[np.float64]
_LEAST_BATCHES = 16
"""Of an epoch, where there are words enough."""


class ClassProbes(NamedTuple):
    """The sparse probes of one letter."""

    order: tuple[int, ...]
    """Its latents, best first, as many as the largest k."""
    selected_by: tuple[float, ...]
    """What each was chosen by: weight, difference of means, or cosine."""
    probes: Mapping[int, SparseProbe]
    """k -> the probe on the first k of them."""
    scores: Mapping[int, ProbeScores]
    """k -> its scores on the test side."""
    split: FeatureSplit
    """The main latents."""


class LatentProbes(NamedTuple):
    """The sparse probes of one SAE."""

    classes: Mapping[str, ClassProbes]
    left_out: Mapping[str, str]
    """Letter without probes -> why."""


class Labelled(NamedTuple):
    """Codes, what they are of, and which side they are on."""

    codes: sp.csr_array
    """[N, F]"""
    truth: NDArray[np.bool_]
    """[N, C]"""
    classes: Sequence[str]
    split: Split


def probe_latents(
    data: Labelled, config: FirstLetterConfig, *, probe: LinearProbe, directions: Floats | None = None
) -> LatentProbes:
    """Fits all of them. `probe` and `directions` [F, D] are asked for by the selection `probe_weight` alone."""
    chosen_by = _selection(data, config, probe, directions)
    columns = sp.csc_array(data.codes)
    order = top_latents(np.nan_to_num(chosen_by, nan=-np.inf), max(config.ks))
    found: dict[str, ClassProbes] = {}
    left_out: dict[str, str] = {}
    with get_display().progress("sparse probes", total=len(data.classes), unit="letters") as progress:
        for i, name in enumerate(data.classes):
            if np.isnan(chosen_by[i]).any():
                left_out[name] = probe.left_out.get(name, "no example of it on the training side")
            else:
                latents = [int(j) for j in order[i]]
                weights = tuple(float(w) for w in chosen_by[i, order[i]])
                found[name] = _of_class(columns_of(columns, latents), data, i, latents, config)._replace(selected_by=weights)
            progress.advance()
    return LatentProbes(found, left_out)


def enough_steps(settings: ProbeTraining, n_words: int) -> ProbeTraining:
    """The same with batches of at most a sixteenth of the words, and at least 64.

    The original's batch of 4,096 is for the vocabulary of a large model. Of a thousand words it is all of them: 50 epochs are
    then 50 steps, after which the weights still say nothing.
    """
    return replace(settings, batch_size=min(settings.batch_size, max(64, n_words // _LEAST_BATCHES)))


def _selection(data: Labelled, config: FirstLetterConfig, probe: LinearProbe, directions: Floats | None) -> Floats:
    """[C, F], by which latents are chosen; NaN for a letter without."""
    if config.selection == "l1":
        rows = data.split.train
        return l1_weights(data.codes, data.truth, data.classes, rows=rows, settings=enough_steps(config.latent_probe, len(rows)))
    if config.selection == "mean_difference":
        return mean_differences(data.codes, data.truth, rows=data.split.train)
    if directions is None:
        raise ValueError("the selection by probe weights needs what the latents write")
    made = np.full((len(data.classes), len(directions)), np.nan)
    made[[list(data.classes).index(name) for name in probe.classes]] = cosines(probe, directions)
    return made


def _of_class(x: Floats, data: Labelled, i: int, latents: Sequence[int], config: FirstLetterConfig) -> ClassProbes:
    """x: [N, largest k], the codes of its latents."""
    truth, split = data.truth[:, i], data.split
    probes: dict[int, SparseProbe] = {}
    scores: dict[int, ProbeScores] = {}
    for k in (k for k in config.ks if k <= len(latents)):
        probes[k] = fit_sparse(x[split.train, :k], truth[split.train], latents[:k], zero_bias=config.zero_bias)
        scores[k] = scores_of(probes[k].score(x[split.test, :k]), truth[split.test], data.classes[i])
    in_turn = [scores[k].f1 for i, k in enumerate(probes, start=1) if i == k]  # 1, 2, 3, ... without a gap
    return ClassProbes(tuple(latents), (), probes, scores, main_latents(in_turn, latents, jump=config.f1_jump))


def write_probes(path: Path, found: LatentProbes) -> None:
    """Keeps them. Raises DiskFullError."""
    plain = {
        name: {
            "order": each.order,
            "selected_by": each.selected_by,
            "probes": {str(k): probe._asdict() for k, probe in each.probes.items()},
            "scores": {str(k): scores._asdict() for k, scores in each.scores.items()},
            "split": each.split.latents,
        }
        for name, each in found.classes.items()
    }
    write_json(path, {"classes": plain, "left_out": dict(found.left_out)})


def read_probes(path: Path) -> LatentProbes:
    """What `write_probes` wrote. Raises ArtifactDamagedError."""
    with reading(path):
        plain = read_json(path)
        return LatentProbes({name: _class_of(each) for name, each in plain["classes"].items()}, plain["left_out"])


def _class_of(plain: Mapping[str, Any]) -> ClassProbes:
    probes = {
        int(k): SparseProbe(tuple(p["latents"]), tuple(p["weights"]), p["bias"], p["converged"])
        for k, p in plain["probes"].items()
    }
    scores = {int(k): ProbeScores(**s) for k, s in plain["scores"].items()}
    split = FeatureSplit(tuple(plain["split"]))
    return ClassProbes(tuple(plain["order"]), tuple(plain["selected_by"]), probes, scores, split)
