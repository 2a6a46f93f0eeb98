"""Which subjects of a study are held against each other, and by how much they differ."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from monoseme.studies._base import Row
from monoseme.studies._intervals import difference
from monoseme.studies._workbench import Subject


def difference_rows(
    subjects: Sequence[Subject], replicates: Mapping[str, Mapping[str, np.ndarray]], metrics: Sequence[str]
) -> Iterator[Row]:
    """Parts of one SAE among each other, and one part of different SAEs; what does not exist on both sides is left out.

    `replicates`: subject -> metric -> [W], the estimate first, paired between subjects.
    """
    for i, a in enumerate(subjects):
        for b in subjects[i + 1 :]:
            if (a.sae_name == b.sae_name) == (a.word == b.word):
                continue
            ours, theirs = replicates.get(a.name, {}), replicates.get(b.name, {})
            for metric in metrics:
                if metric in ours and metric in theirs and np.isfinite(ours[metric][0] - theirs[metric][0]):
                    found = difference(ours[metric], theirs[metric])
                    ends = {"low": found.low, "high": found.high}
                    yield {"a": a.name, "b": b.name, "metric": metric, "a_minus_b": found.value, **ends}


def is_high_less_low(row: Row) -> bool:
    """Whether the row holds the high part of an SAE against its low part."""
    return row["a"].endswith(" (high)") and row["b"] == row["a"].removesuffix("(high)") + "(low)"
