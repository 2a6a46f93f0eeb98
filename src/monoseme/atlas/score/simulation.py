"""Simulation: how well do activations that a judge guesses from an explanation, token by token, follow the real ones?

The judge grades every token of an excerpt from 0 (silent) to 9 (its strongest); the score is the correlation of grades and real
activations over all tokens of all excerpts, over all and for each tenth of the activations.

Source: Bills et al. 2023, "Language models can explain neurons in language models" (all tokens at once, expected grade under the
log-probabilities where they are given).
Differs: ten grades for eleven, so that each is one digit; excerpts from each tenth beside silent ones, for top and random ones.
"""

import functools
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from monoseme.atlas.evidence import Evidence
from monoseme.atlas.excerpts import Excerpts
from monoseme.atlas.judgements import Judgement
from monoseme.atlas.prompts import described, numbered, question, shown
from monoseme.atlas.said import Explanation, Score
from monoseme.atlas.score import _numbers as numbers
from monoseme.atlas.score._base import Scorer
from monoseme.atlas.score._choice import ChoiceConfig, chosen, plain_items, why_no_control
from monoseme.atlas.score._controls import Version
from monoseme.atlas.score._grades import N_LOGPROBS, grades_of, grades_type
from monoseme.atlas.score._items import Item, Verdict, judgement_of
from monoseme.atlas.score._lookup import TokenLookup, TokenTable
from monoseme.atlas.score._measured import missing, score_of
from monoseme.judges import Answer, Desk, Question

_SYSTEM = (
    "A unit inside a language model fires on some tokens of some texts. Grade how strongly it fires on each token of this text,"
    " read from left to right: 0 silent, as on most tokens, to 9 its strongest. Answer in JSON with one grade for each token."
)
_CONTROLS = ("other", "empty", "lookup")


class Simulation(Scorer):
    """Correlation of guessed and real activations, with two controls and the table of tokens."""

    asks_judge = True
    definitions = {  # noqa: RUF012 - a class constant of the contract
        "correlation": "Pearson correlation of guessed and real activations over all tokens of held-out excerpts; in [-1, 1],"
        " higher is better, 0 is chance",
        "correlation_other": "control: correlation of activations guessed from another latent's explanation; should be near 0",
        "correlation_empty": "control: correlation of activations guessed without an explanation",
        "correlation_lookup": "the bar to beat: correlation of the table of the latent's tokens with the real activations",
        "failed_fraction": "share of the latent's questions that brought no usable answer; in [0, 1], lower is better",
    }

    @dataclass(frozen=True, kw_only=True)
    class Config(ChoiceConfig):
        """How many excerpts; each is a question of its own."""

        n_per_decile: int = 1
        """Firing excerpts of each tenth of the latent's activations (count)."""
        n_silent: int = 3
        """Excerpts in which it does not fire, drawn at random (count)."""
        n_near_misses: int = 3
        """Excerpts in which it does not fire, but latents that mostly fire with it do (count)."""

    def __init__(self, config: Config | None = None, *, desk: Desk | None = None) -> None:
        super().__init__(config, desk=desk)
        self.config = config or self.Config()

    def questions(self, evidence: Evidence, explanations: Sequence[Explanation]) -> Iterator[Question]:
        """All that `score` would ask."""
        return (asked.question for trial in self._trials(evidence, explanations) for asked in trial.asked)

    def score(self, evidence: Evidence, explanations: Sequence[Explanation]) -> Iterator[Score]:
        """All numbers of all explanations, in order, those of the tenths after the whole."""
        trials = list(self._trials(evidence, explanations))
        answers = self.answers([asked.question for trial in trials for asked in trial.asked])
        lookup = TokenLookup(evidence)
        for trial in trials:
            if trial.why_missing is not None:
                yield from missing(trial.latent, list(self.definitions), trial.why_missing, n=len(trial.items))
            else:
                table = lookup.table(trial.latent)
                yield from self._scores(trial, [next(answers) for _ in trial.asked], table)

    def _trials(self, evidence: Evidence, explanations: Sequence[Explanation]) -> Iterator["_Trial"]:
        excerpts = Excerpts(evidence)
        choose = functools.partial(plain_items, excerpts, config=self.config, heldout=True)
        for found in chosen(excerpts, explanations, self.config, scorer="simulation", choose=choose):
            asked = [_Asked(v, i, ask(v.text, item)) for v in found.told for i, item in enumerate(found.items)]
            yield _Trial(found.explanation.latent, found.items, asked, found.why_missing)

    def _scores(self, trial: "_Trial", answers: Sequence[Answer], table: TokenTable) -> Iterator[Score]:
        latent = trial.latent
        said: dict[str, list[NDArray[np.float64] | None]] = {"lookup": [_looked_up(table, item) for item in trial.items]}
        for number, (asked, answer) in enumerate(zip(trial.asked, answers, strict=True)):
            grades = grades_of(answer)
            told = said.setdefault(asked.version.told, [None] * len(trial.items))
            told[asked.place] = None if grades is None else np.array(grades)
            self.judgements.append(
                _judgement(latent, trial.items[asked.place], asked, number=number, grades=grades, failure=answer.failure)
            )
        yield self._correlation(trial, said["own"], "correlation")
        for control in _CONTROLS:
            if control in said:
                yield self._correlation(trial, said[control], f"correlation_{control}")
            else:
                yield from missing(latent, [f"correlation_{control}"], why_no_control(control, self.config))
        failed = [told is None for told in said["own"]]
        yield Score(latent=latent, name="failed_fraction", value=sum(failed) / len(failed), n=len(failed))
        for decile in sorted({item.decile for item in trial.items if item.decile is not None}):
            yield self._correlation(trial, said["own"], "correlation", decile=decile)

    def _correlation(
        self, trial: "_Trial", said: Sequence[NDArray[np.float64] | None], name: str, *, decile: int | None = None
    ) -> Score:
        """Over the excerpts that were answered; those of one tenth where it is given."""
        wanted = [
            (item, told)
            for item, told in zip(trial.items, said, strict=True)
            if told is not None and (decile is None or item.decile == decile)
        ]
        documents = np.array([item.excerpt.document for item, _ in wanted], dtype=np.int64)
        weights = numbers.document_weights(documents, seed=self.config.seed)
        sums = numbers.pair_sums([(told, _real(item)) for item, told in wanted])
        found = numbers.estimate(numbers.pearson(sums, weights))
        why = "the guesses or the activations are the same on all tokens" if wanted else "no usable answer"
        return score_of(trial.latent, name, found, n=len(wanted), why=why, decile=decile)


class _Asked(NamedTuple):
    """One question about one item."""

    version: Version
    place: int
    question: Question


class _Trial(NamedTuple):
    """All that is asked of one explanation."""

    latent: int
    items: list[Item]
    asked: list[_Asked]
    why_missing: str | None


def ask(explanation: str | None, item: Item) -> Question:
    """The tokens that reach the SAE, each on a line, for a grade each."""
    tokens = [text for text, value in zip(item.excerpt.texts, item.excerpt.values, strict=True) if value is not None]
    lines = numbered([shown([text]) for text in tokens], name="token")
    answer_type = grades_type(len(tokens), name="token")
    max_tokens = 64 + 12 * len(tokens)
    return question(_SYSTEM, f"{described(explanation)}\n{lines}", answer_type, max_tokens=max_tokens, n_logprobs=N_LOGPROBS)


def _real(item: Item) -> NDArray[np.float64]:
    return np.array([value for value in item.excerpt.values if value is not None], dtype=np.float64)


def _looked_up(table: TokenTable, item: Item) -> NDArray[np.float64]:
    pairs = zip(item.excerpt.tokens, item.excerpt.values, strict=True)
    return table.of([token for token, value in pairs if value is not None])


def _judgement(
    latent: int, item: Item, asked: _Asked, *, number: int, grades: list[float] | None, failure: str | None
) -> Judgement:
    details = json.dumps({"real": _real(item).tolist(), "said": grades})
    verdict = Verdict(None if grades is None else max(grades, default=0.0), None, failure, details)
    return judgement_of(item, verdict, latent=latent, version=asked.version, question=number, truth=item.excerpt.strongest)
