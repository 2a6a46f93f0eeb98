"""Intruder: among excerpts of like activation, does a judge find the one in which the latent does not fire?

It reads no explanation, so it measures the latent and not what is said of it: a latent whose firings have nothing in common that
a reader can see cannot be explained well. So neither control exists; beside it stand chance and the table of tokens.

Source: delphi's intruder scorer (after Chang et al. 2009, "Reading tea leaves"). Differs: held-out documents, an intruder that is
silent by the latent's own codes, plain text.
"""

import functools
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, create_model

from monoseme.atlas.evidence import Evidence
from monoseme.atlas.excerpts import Excerpts
from monoseme.atlas.judgements import Judgement
from monoseme.atlas.prompts import numbered, question, shown
from monoseme.atlas.said import Explanation, Score
from monoseme.atlas.score import _numbers as numbers
from monoseme.atlas.score._base import Scorer
from monoseme.atlas.score._choice import ChoiceConfig, firing_items
from monoseme.atlas.score._errors import least_share_error
from monoseme.atlas.score._items import Item
from monoseme.atlas.score._lookup import TokenLookup, TokenTable
from monoseme.atlas.score._measured import missing, score_of
from monoseme.core.errors import ConfigError
from monoseme.core.seeds import derive_seed
from monoseme.judges import Answer, Desk, Question

_FEWEST = 4
"""Questions below which a latent has no score (count)."""
_SYSTEM = (
    "All but one of these excerpts have something in common: a word, a kind of word, a topic or a style. Find the one that does"
    " not belong. Answer in JSON with its number."
)


class Intruder(Scorer):
    """Share of intruders found, beside chance and the table of tokens."""

    asks_judge = True
    definitions = {  # noqa: RUF012 - a class constant of the contract
        "accuracy": "share of questions in which the excerpt without a firing is found; in [0, 1], higher is better",
        "chance": "what guessing scores: one of the number of excerpts of a question",
        "accuracy_lookup": "the bar to beat: accuracy of the table of the latent's tokens, ties shared out",
        "failed_fraction": "share of the latent's questions that brought no usable answer; in [0, 1], lower is better",
    }

    @dataclass(frozen=True, kw_only=True)
    class Config(Scorer.Config):
        """How many questions, of how many excerpts."""

        n_questions: int = 10
        """Questions about a latent at most (count), from its weakest to its strongest activations."""
        n_excerpts: int = 5
        """Excerpts of a question, the intruder among them (count)."""
        seed: int = 0
        """Of the draws, of the order in which excerpts are shown and of the intervals."""

        def __post_init__(self) -> None:
            if self.n_questions < _FEWEST or not 3 <= self.n_excerpts <= 9:
                raise ConfigError(f"n_questions must be at least {_FEWEST}, and n_excerpts 3 to 9.")

    def __init__(self, config: Config | None = None, *, desk: Desk | None = None) -> None:
        super().__init__(config, desk=desk)
        self.config = config or self.Config()

    def questions(self, evidence: Evidence, explanations: Sequence[Explanation]) -> Iterator[Question]:
        """All that `score` would ask."""
        return (ask(group) for trial in self._trials(evidence, explanations) for group in trial.groups)

    def score(self, evidence: Evidence, explanations: Sequence[Explanation]) -> Iterator[Score]:
        """All numbers of all latents, in order, those of the tenths after the whole."""
        trials, lookup = list(self._trials(evidence, explanations)), TokenLookup(evidence)
        answers = self.answers([ask(group) for trial in trials for group in trial.groups])
        for trial in trials:
            if trial.why_missing is not None:
                yield from missing(trial.latent, list(self.definitions), trial.why_missing)
            else:
                yield from self._scores(trial, [next(answers) for _ in trial.groups], lookup.table(trial.latent))

    def _trials(self, evidence: Evidence, explanations: Sequence[Explanation]) -> Iterator["_Trial"]:
        excerpts, config = Excerpts(evidence), self.config
        n_firing = config.n_excerpts - 1
        per_decile = -(-config.n_questions * n_firing // 10)
        choice = ChoiceConfig(n_per_decile=per_decile, seed=config.seed)
        for latent in (explanation.latent for explanation in explanations):
            evidence.latents.check_latent(latent)
            firing = firing_items(excerpts, latent, choice, heldout=True)
            firing.sort(key=lambda item: -1 if item.decile is None else item.decile)
            silent = excerpts.silent(latent, config.n_questions, heldout=True, seed=config.seed)
            groups = [
                self._shuffled([*firing[i * n_firing : (i + 1) * n_firing], Item(excerpt=intruder, fires=False, kind="silent")])
                for i, intruder in enumerate(silent[: len(firing) // n_firing])
            ]
            why = excerpts.why_no_codes or f"only {len(groups)} questions can be made of its held-out excerpts"
            yield _Trial(latent, groups, None) if len(groups) >= _FEWEST else _Trial(latent, [], why)

    def _shuffled(self, items: list[Item]) -> list[Item]:
        places = [derive_seed(self.config.seed, "intruder", item.excerpt.document, item.excerpt.position) for item in items]
        return [items[i] for i in np.argsort(places)]

    def _scores(self, trial: "_Trial", answers: Sequence[Answer], table: TokenTable) -> Iterator[Score]:
        said = [None if answer.value is None else int(answer.value.model_dump()["number"]) - 1 for answer in answers]
        intruders = [[item.fires for item in group].index(False) for group in trial.groups]
        for number, (group, answer, chosen, intruder) in enumerate(zip(trial.groups, answers, said, intruders, strict=True)):
            self.judgements.append(_judgement(trial.latent, number, group, answer, _Found(chosen, intruder)))
        right = np.array([np.nan if chosen is None else chosen == i for chosen, i in zip(said, intruders, strict=True)])
        looked_up = np.array([_least(table, group) for group in trial.groups])
        yield self._mean(trial, right, "accuracy")
        yield Score(latent=trial.latent, name="chance", value=1 / self.config.n_excerpts, n=len(trial.groups))
        yield self._mean(trial, looked_up, "accuracy_lookup")
        yield Score(latent=trial.latent, name="failed_fraction", value=float(np.isnan(right).mean()), n=len(right))
        deciles = [_decile(group) for group in trial.groups]
        for decile in sorted({decile for decile in deciles if decile is not None}):
            wanted = np.array([other == decile for other in deciles])
            yield self._mean(trial, np.where(wanted, right, np.nan), "accuracy", decile=decile)

    def _mean(self, trial: "_Trial", outcomes: NDArray[np.float64], name: str, *, decile: int | None = None) -> Score:
        """Mean over the answered questions; the documents that vary are those of the intruders."""
        known = np.isfinite(outcomes)
        documents = np.array([next(item.excerpt.document for item in group if not item.fires) for group in trial.groups])[known]
        weights = numbers.document_weights(documents, seed=self.config.seed)
        least = least_share_error(outcomes[known], documents)
        found = numbers.estimate(numbers.mean(outcomes[known], weights), least=least)
        return score_of(trial.latent, name, found, n=int(known.sum()), why="no usable answer", decile=decile)


class _Trial(NamedTuple):
    latent: int
    groups: list[list[Item]]
    """The excerpts of each question, in the order in which they are shown."""
    why_missing: str | None


class _Found(NamedTuple):
    chosen: int | None
    intruder: int


@functools.cache
def _answer_type(n: int) -> type[BaseModel]:
    number: Any = Literal[tuple(range(1, n + 1))]
    return create_model(f"Intruder_{n}", __config__=ConfigDict(extra="forbid"), number=(number, ...))


def ask(items: Sequence[Item]) -> Question:
    """Which of these excerpts does not belong."""
    lines = numbered([shown(item.excerpt.texts) for item in items], name="excerpt")
    return question(_SYSTEM, lines, _answer_type(len(items)), max_tokens=64)


def _least(table: TokenTable, items: Sequence[Item]) -> float:
    """Chance that the table's least excerpt is the intruder, ties shared out."""
    strength = np.array([table.strength(item) for item in items])
    least = strength == strength.min()
    return float(sum(is_least and not item.fires for is_least, item in zip(least, items, strict=True)) / least.sum())


def _decile(items: Sequence[Item]) -> int | None:
    """The tenth that all firing excerpts are from; None where they are from several."""
    found = {item.decile for item in items if item.fires}
    return found.pop() if len(found) == 1 else None


def _judgement(latent: int, number: int, items: Sequence[Item], answer: Answer, found: _Found) -> Judgement:
    intruder = items[found.intruder].excerpt
    places = [[item.excerpt.document, item.excerpt.position] for item in items]
    return Judgement(
        latent=latent,
        told="empty",
        told_of=None,
        question=number,
        kind="silent",
        document=intruder.document,
        position=intruder.position,
        decile=_decile(items),
        truth=float(found.intruder + 1),
        answer=None if found.chosen is None else float(found.chosen + 1),
        says=None if found.chosen is None else found.chosen == found.intruder,
        failure=answer.failure,
        details=json.dumps({"shown": places}),
    )
