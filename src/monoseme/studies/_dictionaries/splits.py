"""Parents and children across widths: which latent of a narrower SAE each latent of a wider one came from, and which are new.

Each latent of the wider SAE goes to the parent with the largest cosine; below a threshold it has none and is new. That a child is
a part of its parent shows in the codes: when it fires, its parent fires on the same token in the narrower SAE, far more often
than the parent does anyway.

Source: feature splitting, Bricken et al. 2023, "Towards monosemanticity"; new latents by the largest cosine, Leask et al. 2025,
arXiv:2502.04878 ("novel latents": below 0.7).
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from monoseme.evaluation import fired_together
from monoseme.studies._base import Row
from monoseme.studies._dictionaries.families import Family
from monoseme.studies._dictionaries.intervals import Resampling
from monoseme.studies._dictionaries.members import Dictionary
from monoseme.studies._dictionaries.pairs import COSINE
from monoseme.studies._dictionaries.universality import Pairs
from monoseme.studies._dictionaries.words import Words
from monoseme.studies._intervals import Interval

MOST_COUNTED = 4
"""Children from which parents are counted together: as many classes as a theme has shades."""


class Step(NamedTuple):
    """From one width to the next. Latents are those that fire."""

    family: str
    parents: Dictionary
    children: Dictionary
    parent_of: np.ndarray
    """[children] place of the nearest parent."""
    cosine: np.ndarray
    """[children] with it."""
    is_child: np.ndarray
    """[children] whether that is at the threshold or above; the others are new."""
    with_parent: np.ndarray
    """[children] P(parent fires | child fires)."""

    @property
    def n_children(self) -> np.ndarray:
        """[parents] children of each."""
        return np.bincount(self.parent_of[self.is_child], minlength=len(self.parents.numbers))


def steps_of(family: Family, pairs: Pairs, *, parent_cosine: float) -> list[Step]:
    """From each width of a family to the next."""
    return [_step(family.name, pairs, a, b, parent_cosine) for a, b in zip(family.members, family.members[1:], strict=False)]


def _step(family: str, pairs: Pairs, narrow: Dictionary, wide: Dictionary, parent_cosine: float) -> Step:
    pair = pairs[wide.name, narrow.name]
    nearest = pair.by[COSINE].nearest
    together = fired_together(pair.a.codes, pair.nearest_of(COSINE).codes)
    return Step(
        family,
        pair.b,
        pair.a,
        nearest.partner,
        nearest.similarity,
        np.nan_to_num(nearest.similarity, nan=-np.inf) >= parent_cosine,
        together / pair.a.codes.n_fired,
    )


def step_row(step: Step, resampling: Resampling) -> Row:
    """The table `splits_by_width`: shares with intervals over latents."""
    children = resampling.mean(step.is_child.astype(np.float64))
    counts = step.n_children
    together = resampling.mean(step.with_parent[step.is_child])
    anyway = step.parents.density[step.parent_of[step.is_child]]
    return {
        "family": step.family,
        "parents": step.parents.name,
        "children": step.children.name,
        "n_parents": len(counts),
        "n_children": len(step.is_child),
        "new_share": 1 - children.value,
        "new_low": None if children.high is None else 1 - children.high,
        "new_high": None if children.low is None else 1 - children.low,
        "parents_without_child": int((counts == 0).sum()),
        "parents_with_one": int((counts == 1).sum()),
        "parents_split": int((counts > 1).sum()),
        "parent_fires_with_child": _value(together),
        "parent_fires_with_child_low": together.low,
        "parent_fires_with_child_high": together.high,
        "parent_fires_anyway": float(anyway.mean()) if len(anyway) else None,
    }


def count_rows(step: Step) -> list[Row]:
    """The table `children_per_parent`: how many parents have so many children."""
    counts = np.bincount(np.minimum(step.n_children, MOST_COUNTED), minlength=MOST_COUNTED + 1)
    total = max(1, int(counts.sum()))
    names = {"family": step.family, "step": f"{step.parents.name} → {step.children.name}"}
    return [
        names | {"children": f"{n}+" if n == MOST_COUNTED else str(n), "n_parents": int(c), "share": int(c) / total}
        for n, c in enumerate(counts)
    ]


def strongest_rows(step: Step, words: Words, *, n: int) -> list[Row]:
    """The table `splits`: the n parents whose children are surest (two children or more, by the second largest cosine), a row for
    each child."""
    order = np.argsort(-step.cosine, kind="stable")
    by_parent = {int(p): order[(step.parent_of[order] == p) & step.is_child[order]] for p in np.flatnonzero(step.n_children > 1)}
    strongest = sorted(by_parent, key=lambda p: (-float(step.cosine[by_parent[p][1]]), p))[:n]
    return [_child_row(step, words, p, int(c)) for p in strongest for c in by_parent[p]]


def _child_row(step: Step, words: Words, parent: int, child: int) -> Row:
    n_fired = step.children.codes.n_fired
    return {
        "step": f"{step.parents.name} → {step.children.name}",
        "parent": int(step.parents.numbers[parent]),
        "child": int(step.children.numbers[child]),
        "cosine": float(step.cosine[child]),
        "parent_fires_with_child": float(step.with_parent[child]),
        "parent_fires_anyway": float(step.parents.density[parent]),
        "n_child_fires": int(n_fired[child]),
        "parent_is": words.of(step.parents, parent),
        "child_is": words.of(step.children, child),
    }


def new_rows(step: Step, words: Words, *, n: int) -> list[Row]:
    """The table `new_latents`: of the latents without a parent the n that fire most."""
    fired = step.children.codes.n_fired
    new = np.flatnonzero(~step.is_child)
    often: Sequence[int] = new[np.argsort(-fired[new], kind="stable")][:n].tolist()
    return [
        {
            "step": f"{step.parents.name} → {step.children.name}",
            "latent": int(step.children.numbers[i]),
            "cosine": float(step.cosine[i]),
            "density": float(step.children.density[i]),
            "latent_is": words.of(step.children, i),
        }
        for i in often
    ]


def _value(interval: Interval) -> float | None:
    return float(interval.value) if np.isfinite(interval.value) else None
