"""Pairs of prompts between which an attribute is to be carried over, and which others are to stay.

Source: Huang et al. 2024 (RAVEL), arXiv:2402.17700, section 3; SAEBench 0.6, `evals/ravel`.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from monoseme.core.seeds import derive_seed
from monoseme.studies._ravel.questions import Known


class Swap(NamedTuple):
    """What of the source is put into the run on the base, and what the model should then say."""

    base: Known
    source: Known
    is_cause: bool
    """The base asks for the attribute that is carried over; otherwise for another, which should stay."""

    @property
    def wanted(self) -> Known:
        """Whose answer is right after the swap."""
        return self.source if self.is_cause else self.base


def split_entities(known: Sequence[Known], *, test_fraction: float, seed: int) -> tuple[list[Known], list[Known]]:
    """Training and test questions: an entity is on one side only, with at least one on each where there are two."""
    names = sorted({each.question.entity for each in known})
    order = np.random.default_rng(derive_seed(seed, "entities")).permutation(len(names))
    n_test = min(max(1, round(test_fraction * len(names))), len(names) - 1)
    tested = {names[i] for i in order[:n_test]}
    return [e for e in known if e.question.entity not in tested], [e for e in known if e.question.entity in tested]


def draw_swaps(known: Sequence[Known], attribute: str, *, n: int, seed: int) -> list[Swap]:
    """At most n / 2 swaps of each kind, all different. Sources ask for the attribute and differ in the answer at stake.

    Where nothing is known of the source's answer to the base's question, it counts as different if its entity is.
    """
    answers = {(e.question.entity, e.question.attribute): e.question.answer for e in known}
    sources = [each for each in known if each.question.attribute == attribute]

    def differs(base: Known, source: Known) -> bool:
        asked = base.question
        other = answers.get((source.question.entity, asked.attribute))
        return source.question.entity != asked.entity and other != asked.answer

    made: list[Swap] = []
    for is_cause in (True, False):
        bases = [each for each in known if (each.question.attribute == attribute) == is_cause]
        rng = np.random.default_rng(derive_seed(seed, "swaps", attribute, int(is_cause)))
        taken = list[Swap]()
        for flat in rng.permutation(len(bases) * len(sources)):
            if len(taken) == n // 2:
                break
            base, source = bases[flat // len(sources)], sources[flat % len(sources)]
            if differs(base, source):
                taken.append(Swap(base, source, is_cause))
        made += taken
    return made
