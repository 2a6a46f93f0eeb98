"""Probes of all features: trained by AdamW, all classes at once, stopped on held-back texts (ours) or on the test (SAEBench).

SAEBench takes the epoch that is best on the test, so that its number is the best of many that were looked at.
Letters: N texts, F features, K classes, J epochs.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from monoseme.evaluation._latent_effects import Contrasts
from monoseme.evaluation._latent_effects_probes import ProbePath, ProbeSchedule, held_back, train_probes
from monoseme.evaluation._probes import Features, Ints
from monoseme.studies._sparse_probing.probes import Bools, Said, Sample

_MOST_NUMBERS = 1 << 28
"""Training texts times features, 2 GB: beyond it, a probe of all features is left out."""


def full_probes(x: Features, samples: Sequence[Sample], *, labels: Ints, schedule: ProbeSchedule) -> list[Said] | None:
    """What a probe of all features says of each sample's test side; None where that would not fit in memory.

    Features that are 0 on the whole training side are left out, which changes nothing.
    """
    held: Any = x
    train = np.unique(np.concatenate([each.rows[~each.is_test] for each in samples]))
    fires = np.asarray(abs(held[train]).max(axis=0).todense() if sp.issparse(x) else np.abs(held[train]).max(axis=0)).ravel() > 0
    if len(train) * int(fires.sum()) > _MOST_NUMBERS:
        return None
    dense = _dense(held[train][:, fires])
    contrasts = _contrasts(samples, train)
    held_out = held_back(labels[train], schedule)
    path = train_probes(dense[~held_out], contrasts.kept(~held_out), schedule)
    ours = path.least_loss(dense[held_out], contrasts.kept(held_out))
    return [_said(path, i, int(ours[i]), _dense(held[each.rows[each.is_test]][:, fires]), each) for i, each in enumerate(samples)]


def _said(path: ProbePath, i: int, epoch: int, x: NDArray[np.float64], of: Sample) -> Said:
    logits = np.einsum("ef,jf->je", x, path.weights[:, i]) + path.biases[:, i, None]
    right = (logits > 0) == of.is_positive[of.is_test]
    return Said(right[epoch], right[int(right.sum(1).argmax())])


def _contrasts(samples: Sequence[Sample], rows: Ints) -> Contrasts:
    """A probe for each sample over the training texts of all: those of other samples count nothing."""
    place = {int(row): i for i, row in enumerate(rows)}
    is_positive: Bools = np.zeros((len(rows), len(samples)), dtype=bool)
    weights = np.zeros((len(rows), len(samples)))
    for i, each in enumerate(samples):
        side = ~each.is_test
        at = np.array([place[int(row)] for row in each.rows[side]], dtype=np.int64)
        is_positive[at, i] = each.is_positive[side]
        weights[at, i] = 1 / max(len(at), 1)
    return Contrasts(tuple(str(i) for i in range(len(samples))), is_positive, weights)


def _dense(x: Any) -> NDArray[np.float64]:
    return np.asarray(x.todense() if sp.issparse(x) else x, dtype=np.float64)
