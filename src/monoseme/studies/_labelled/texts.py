"""Labelled texts as probes take them: cut to one context each, without copies, with a split that keeps every source on one side.

Letters: N texts, K classes.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from monoseme.core.display import get_display
from monoseme.core.errors import ConfigError
from monoseme.core.seeds import derive_seed
from monoseme.evaluation._probes import Ints, split_by_unit
from monoseme.studies._labelled.bundled_sets import Labelled
from monoseme.studies._probing.text import Excerpt, without_copies
from monoseme.text import TextTokenizer

_AT_ONCE = 2048
"""Texts tokenised at once."""


@dataclass(frozen=True, eq=False)
class LabelledTexts:
    """N texts with a class each. Arrays have one entry for each text."""

    name: str
    """Of the data set."""
    excerpts: Sequence[Excerpt]
    classes: tuple[str, ...]
    labels: Ints
    """Number of the class in `classes`."""
    units: Ints
    """Number of the source: what is independent."""
    second_classes: tuple[str, ...]
    """Of the second label; empty without one."""
    second: Ints
    """Number of the class in `second_classes`, -1 where a text has none."""
    own_test: NDArray[np.bool_] | None
    """The data set's own test side; None where it has none."""
    test_fraction: float

    def __len__(self) -> int:
        """Texts."""
        return len(self.labels)

    def __repr__(self) -> str:
        return f"LabelledTexts({self.name!r}, {len(self):,} texts of {len(self.classes)} classes)"

    def test_side(self, seed: int) -> NDArray[np.bool_]:
        """Which texts are for the test: the data set's own side, or about `test_fraction` of each class, by source."""
        if self.own_test is not None:
            return self.own_test
        return split_by_unit(self.labels, self.units, test_fraction=self.test_fraction, seed=seed)

    def kept(self, rows: Sequence[int] | Ints | NDArray[np.bool_]) -> "LabelledTexts":
        """Only these texts, in the order of `rows`; a class that loses all of its texts stays in `classes`."""
        order = np.arange(len(self))[np.asarray(rows)]
        return LabelledTexts(
            self.name,
            [self.excerpts[i] for i in order],
            self.classes,
            self.labels[order],
            self.units[order],
            self.second_classes,
            self.second[order],
            None if self.own_test is None else self.own_test[order],
            self.test_fraction,
        )

    def at_most(self, n: int, *, seed: int) -> "LabelledTexts":
        """At most `n` texts of each class (with a second label: of each of its pairs with a class), drawn at random."""
        order = np.random.default_rng(derive_seed(seed, "at most", self.name)).permutation(len(self))
        stratum = self.labels * (len(self.second_classes) + 1) + self.second + 1
        drawn = np.concatenate([order[stratum[order] == each][:n] for each in np.unique(stratum)])
        return self.kept(np.sort(drawn))


def tokenised(
    name: str, texts: Iterable[Labelled], tokenizer: TextTokenizer, *, room: int, n_pieces: int, least: int, test_fraction: float
) -> LabelledTexts:
    """The texts as excerpts of at most `room` tokens, a longer text as its first `n_pieces` pieces, copies left out.

    Classes of fewer than `least` texts are left out and told. Raises ConfigError if fewer than two are left, or if a class has no
    text on one side of the data set's own split.
    """
    found: list[tuple[Excerpt, Labelled]] = []
    numbers: dict[str, int] = {}
    waiting: list[Labelled] = []
    for text in [*texts, None]:
        if text is not None:
            waiting.append(text)
        if waiting and (text is None or len(waiting) == _AT_ONCE):
            encoded = tokenizer.encode_batch([each.text for each in waiting])
            for each, ids in zip(waiting, encoded, strict=True):
                source = numbers.setdefault(each.source, len(numbers))
                found += [(Excerpt(piece, source, each.label), each) for piece in _pieces(ids, room, n_pieces)]
            waiting = []
    first = {id(excerpt) for excerpt in without_copies([excerpt for excerpt, _ in found])}
    found = [(excerpt, text) for excerpt, text in found if id(excerpt) in first]
    return _of_large_classes(name, found, least=least, test_fraction=test_fraction)


def _pieces(ids: Sequence[int], room: int, n_pieces: int) -> list[NDArray[np.uint32]]:
    """Pieces of `room` tokens; after the first, only whole ones."""
    cut = [np.asarray(ids[start : start + room], dtype=np.uint32) for start in range(0, min(len(ids), room * n_pieces), room)]
    return cut[:1] + [piece for piece in cut[1:] if len(piece) == room]


def _of_large_classes(name: str, found: Sequence[tuple[Excerpt, Labelled]], *, least: int, test_fraction: float) -> LabelledTexts:
    names, counts = np.unique([text.label for _, text in found], return_counts=True)
    classes = tuple(str(label) for label, n in zip(names, counts, strict=True) if n >= least)
    if small := [f"{label} ({n})" for label, n in zip(names, counts, strict=True) if n < least]:
        get_display().say(f"{name}: classes of fewer than {least} texts are left out: {', '.join(small)}")
    if len(classes) < 2:
        raise ConfigError(
            f"{name}: {len(classes)} of {len(names)} classes have {least} texts or more; two are needed to tell apart.\n"
            "  Give more texts, another --label, or a lower --least_per_class."
        )
    number = {label: i for i, label in enumerate(classes)}
    found = [each for each in found if each[1].label in number]
    seconds = tuple(sorted({text.second for _, text in found if text.second is not None}))
    sides = [text.is_test for _, text in found]
    return LabelledTexts(
        name,
        [excerpt for excerpt, _ in found],
        classes,
        np.array([number[text.label] for _, text in found], dtype=np.int64),
        np.array([excerpt.source for excerpt, _ in found], dtype=np.int64),
        seconds,
        np.array([-1 if text.second is None else seconds.index(text.second) for _, text in found], dtype=np.int64),
        None if None in sides else np.array(sides, dtype=bool),
        test_fraction,
    )
