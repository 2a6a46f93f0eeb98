"""Scores of explanations by which a judge grades excerpts: what detection and fuzzing share.

For each latent: some held-out excerpts with the right answer to each; for its explanation and for each control the same
questions, some excerpts each; from the grades the numbers, with intervals, over all and for each tenth of the activations.
Everything is asked at once, so that a provider gets one batch.
"""

import functools
import json
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from monoseme.atlas.evidence import Evidence
from monoseme.atlas.excerpts import Excerpts
from monoseme.atlas.judgements import Judgement
from monoseme.atlas.said import Explanation, Score
from monoseme.atlas.score._base import Scorer
from monoseme.atlas.score._choice import ChoiceConfig, Chosen, chosen
from monoseme.atlas.score._controls import Version
from monoseme.atlas.score._grades import YES_FROM, grades_of
from monoseme.atlas.score._items import Item, Verdict, judgement_of
from monoseme.atlas.score._lookup import TokenLookup, TokenTable, best_threshold
from monoseme.atlas.score._measured import Said, measured, missing
from monoseme.core.errors import ConfigError
from monoseme.core.seeds import derive_seed
from monoseme.judges import Answer, Desk, Question


class Asked(NamedTuple):
    """One question about some items of a latent."""

    version: Version
    places: range
    """Which of the latent's items it asks about."""
    question: Question


class Trial(NamedTuple):
    """All that is asked of one explanation."""

    chosen: Chosen
    """Its items in the order in which they are shown."""
    asked: list[Asked]
    lookup: Said | None
    """What the table of tokens says; None where nothing is asked."""


class GradedScorer(Scorer):
    """Asks a judge to grade excerpts, with controls."""

    asks_judge = True

    @dataclass(frozen=True, kw_only=True)
    class Config(ChoiceConfig):
        """How many excerpts, and how many at a time."""

        items_per_question: int = 5
        """Excerpts judged together (count): more cost less, and tell the judge more about each other."""

        def __post_init__(self) -> None:
            super().__post_init__()
            if self.items_per_question < 1:
                raise ConfigError(f"items_per_question is {self.items_per_question}, but must be at least 1.")

    def __init__(self, config: Config | None = None, *, desk: Desk | None = None) -> None:
        super().__init__(config, desk=desk)
        self.config = config or self.Config()

    @abstractmethod
    def choose(self, excerpts: Excerpts, latent: int, *, heldout: bool) -> list[Item]:
        """The excerpts of one half of the documents that can be asked about, with the right answers."""

    @abstractmethod
    def ask(self, explanation: str | None, items: Sequence[Item]) -> Question:
        """The question whether these fire, given an explanation or none; answered by a `grades_type`."""

    def questions(self, evidence: Evidence, explanations: Sequence[Explanation]) -> Iterator[Question]:
        """All that `score` would ask, so that it can be counted before."""
        return (asked.question for trial in self._trials(evidence, explanations) for asked in trial.asked)

    def score(self, evidence: Evidence, explanations: Sequence[Explanation]) -> Iterator[Score]:
        """All numbers of all explanations, in order, those of the tenths after the whole."""
        trials = list(self._trials(evidence, explanations))
        questions = [asked.question for trial in trials for asked in trial.asked]
        answers = self.answers(questions)
        for trial in trials:
            yield from self._scores(trial, [next(answers) for _ in trial.asked])

    def _trials(self, evidence: Evidence, explanations: Sequence[Explanation]) -> Iterator[Trial]:
        excerpts, lookup, name = Excerpts(evidence), TokenLookup(evidence), self.plugin_name
        choose = functools.partial(self.choose, excerpts, heldout=True)
        for found in chosen(excerpts, explanations, self.config, scorer=name, choose=choose):
            latent = found.explanation.latent
            if found.why_missing is not None:
                yield Trial(found, [], None)
                continue
            order = np.random.default_rng(derive_seed(self.config.seed, name, "order", latent)).permutation(len(found.items))
            found = found._replace(items=[found.items[i] for i in order])
            table = lookup.table(latent)
            threshold = best_threshold(table, self.choose(excerpts, latent, heldout=False))
            asked = [asked for version in found.told for asked in self._asked(version, found.items)]
            yield Trial(found, asked, _looked_up(table, found.items, threshold))

    def _asked(self, version: Version, items: list[Item]) -> Iterator[Asked]:
        n = self.config.items_per_question
        for first in range(0, len(items), n):
            places = range(first, min(first + n, len(items)))
            yield Asked(version, places, self.ask(version.text, [items[i] for i in places]))

    def _scores(self, trial: Trial, answers: Sequence[Answer]) -> Iterator[Score]:
        _, items, told, why = trial.chosen
        latent = trial.chosen.explanation.latent
        if trial.lookup is None:
            yield from missing(latent, list(self.definitions), str(why), n=len(items))
            return
        said = {version.told: Said(np.full(len(items), np.nan), np.zeros(len(items), dtype=bool)) for version in told}
        for number, (asked, answer) in enumerate(zip(trial.asked, answers, strict=True)):
            grades = grades_of(answer)
            for place, grade in zip(asked.places, grades or [None] * len(asked.places), strict=True):
                if grade is not None:
                    said[asked.version.told].strength[place] = grade
                    said[asked.version.told].says[place] = grade >= YES_FROM
                self.judgements.append(
                    _judgement(latent, items[place], asked, number=number, grade=grade, failure=answer.failure)
                )
        self.judgements += _lookup_judgements(latent, items, trial.lookup)
        own = [answer.value is None for asked, answer in zip(trial.asked, answers, strict=True) if asked.version.told == "own"]
        whole = list(measured(latent, items, said | {"lookup": trial.lookup}, self.config))
        yield from (score for score in whole if score.decile is None)
        yield Score(latent=latent, name="failed_fraction", value=sum(own) / len(own), n=len(own))
        yield from (score for score in whole if score.decile is not None)


def _looked_up(table: TokenTable, items: Sequence[Item], threshold: float) -> Said:
    strength = np.array([table.strength(item) for item in items])
    return Said(strength, (strength >= threshold) & (strength > 0))


def _judgement(latent: int, item: Item, asked: Asked, *, number: int, grade: float | None, failure: str | None) -> Judgement:
    details = json.dumps({"marked": item.marked}) if item.marked else "{}"
    verdict = Verdict(grade, None if grade is None else grade >= YES_FROM, failure, details)
    return judgement_of(item, verdict, latent=latent, version=asked.version, question=number)


def _lookup_judgements(latent: int, items: Sequence[Item], lookup: Said) -> Iterator[Judgement]:
    version = Version("lookup", None, latent)
    for item, strength, says in zip(items, lookup.strength.tolist(), lookup.says.tolist(), strict=True):
        yield judgement_of(item, Verdict(strength, says), latent=latent, version=version, question=None)
