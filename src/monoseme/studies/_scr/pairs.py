"""Texts of two attributes: which classes of the first label are paired, and the four combinations with the second.

Letters: N texts.
"""

from typing import NamedTuple

import numpy as np

from monoseme.core.errors import ConfigError
from monoseme.evaluation._latent_effects import Bools, Contrasts, Ints, two_attributes
from monoseme.studies._labelled.texts import LabelledTexts

_LEAST_PER_CELL = 4
"""Texts of each combination on each side: fewer make an accuracy of a handful of steps."""


class Pair(NamedTuple):
    """Two classes of the first label and two of the second, and the texts that have one of each."""

    dataset: str
    first: tuple[str, str]
    second: tuple[str, str]
    rows: Ints
    """[N]: numbers of the texts in the data set."""
    is_first: Bools
    """[N]: of the first of `first`; otherwise of the other."""
    is_second: Bools
    """[N]: the same of `second`."""
    is_test: Bools
    """[N]."""

    @property
    def name(self) -> str:
        """As tables have it: girl/boy with home/park."""
        return f"{'/'.join(self.first)} with {'/'.join(self.second)}"

    @property
    def cells(self) -> Ints:
        """[N]: which of the four combinations."""
        return 2 * self.is_first.astype(np.int64) + self.is_second

    def contrasts(self, rows: Ints) -> Contrasts:
        """The probes of some of its texts: first label, second label, and both together."""
        biased = f"{self.first[0]} & {self.second[0]} / {self.first[1]} & {self.second[1]}"
        names = ("/".join(self.first), "/".join(self.second), biased)
        return two_attributes(self.is_first[rows], self.is_second[rows], names)


def pairs_of(texts: LabelledTexts, wanted: tuple[str, ...], *, seed: int) -> list[Pair]:
    """The pairs "a/b" of the first label's classes, or its two commonest; of the second label always the two commonest.

    Raises ConfigError for texts without a second label, an unknown class, and a combination that hardly occurs.
    """
    if len(texts.second_classes) < 2:
        raise ConfigError(
            f"{texts.name} has no second label of two classes, and SCR is about two attributes of a text.\n"
            "  Name it with --second_label, beside --corpus and --label, or take --dataset bundled:hero"
        )
    second = _commonest(texts.second[texts.second >= 0])
    named = [_named(word, texts) for word in wanted] or [_commonest(texts.labels[texts.second >= 0])]
    return [_pair(texts, first, second, seed) for first in named]


def _commonest(numbers: Ints) -> tuple[int, int]:
    """The two commonest, the lower number first."""
    counts = np.bincount(numbers, minlength=2)
    a, b = sorted(np.argsort(-counts, kind="stable")[:2].tolist())
    return a, b


def _named(word: str, texts: LabelledTexts) -> tuple[int, int]:
    names = word.split("/")
    unknown = [name for name in names if name not in texts.classes]
    if len(names) != 2 or unknown or names[0] == names[1]:
        raise ConfigError(
            f'"{word}" names no pair of classes of {texts.name}.\n  Write two, such as {"/".join(texts.classes[:2])}; '
            f"there are: {', '.join(texts.classes)}"
        )
    return texts.classes.index(names[0]), texts.classes.index(names[1])


def _pair(texts: LabelledTexts, first: tuple[int, int], second: tuple[int, int], seed: int) -> Pair:
    rows = np.flatnonzero(np.isin(texts.labels, first) & np.isin(texts.second, second))
    pair = Pair(
        texts.name,
        (texts.classes[first[0]], texts.classes[first[1]]),
        (texts.second_classes[second[0]], texts.second_classes[second[1]]),
        rows,
        texts.labels[rows] == first[0],
        texts.second[rows] == second[0],
        texts.test_side(seed)[rows],
    )
    for side in (pair.is_test, ~pair.is_test):
        fewest = int(np.bincount(pair.cells[side], minlength=4).min())
        if fewest < _LEAST_PER_CELL:
            raise ConfigError(
                f"{pair.dataset}: of {pair.name}, one combination has {fewest} texts on a side of the split, and each needs "
                f"{_LEAST_PER_CELL}.\n  Name another pair with --pairs, or more texts."
            )
    return pair
