"""Generation: does the latent fire on texts that a judge writes to make it fire?

The judge reads the explanation and writes texts; the model and the SAE run on them. What is written without an explanation, what
was written for another latent, and the latent's surest tokens, each alone as a text, stand beside.

Source: the task is Llamascopium's and, for neurons, that of Huang et al. 2023 (arXiv:2309.10312).
An explanation that is too narrow scores well here and one that is too wide badly; detection sees the reverse.
"""

import functools
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from pydantic import BaseModel, ConfigDict, create_model

from monoseme.atlas.coder import CodedText, Coder
from monoseme.atlas.evidence import Evidence
from monoseme.atlas.judgements import Judgement
from monoseme.atlas.prompts import described, question
from monoseme.atlas.said import Explanation, Score
from monoseme.atlas.score import _numbers as numbers
from monoseme.atlas.score._base import Scorer
from monoseme.atlas.score._controls import others_of
from monoseme.atlas.score._errors import least_share_error
from monoseme.atlas.score._lookup import TokenLookup
from monoseme.atlas.score._measured import missing, score_of
from monoseme.core.errors import ConfigError
from monoseme.judges import Answer, Desk, Question

_TOKENS_PER_TEXT = 60
_MOST_CHARACTERS = 2_000
_SYSTEM = (
    "A unit inside a language model fires on some words of some texts. Write short texts of one sentence each, all different, on"
    " which it should fire as strongly as possible. If there is no description, write any texts. Answer in JSON."
)
_TOLD = ("own", "other", "empty", "lookup")


class Generation(Scorer):
    """Share of written texts on which the latent fires, with two controls and the table of tokens."""

    asks_judge = True
    needs_coder = True
    definitions = {  # noqa: RUF012 - a class constant of the contract
        "fire_rate": "share of texts written from the explanation on which the latent fires; in [0, 1], higher is better",
        "strength": "mean over these texts of the largest activation / the latent's largest on the scanned text; 0 or more,"
        " higher is better",
        "fire_rate_other": "control: fire rate on texts written from another latent's explanation",
        "strength_other": "control: strength on texts written from another latent's explanation",
        "fire_rate_empty": "control: fire rate on texts written without an explanation",
        "strength_empty": "control: strength on texts written without an explanation",
        "fire_rate_lookup": "the bar to beat: fire rate on the latent's surest tokens, each alone as a text",
        "strength_lookup": "the bar to beat: strength on the latent's surest tokens, each alone as a text",
    }

    @dataclass(frozen=True, kw_only=True)
    class Config(Scorer.Config):
        """How many texts."""

        n_texts: int = 10
        """Texts written for a latent (count)."""
        seed: int = 0
        """Of the shuffle of explanations and of the intervals."""

        def __post_init__(self) -> None:
            if not 1 <= self.n_texts <= 100:
                raise ConfigError(f"n_texts is {self.n_texts}, but must be 1 to 100.")

    def __init__(self, config: Config | None = None, *, desk: Desk | None = None) -> None:
        super().__init__(config, desk=desk)
        self.config = config or self.Config()

    def questions(self, evidence: Evidence, explanations: Sequence[Explanation]) -> Iterator[Question]:
        """All that `score` would ask: one question for each explanation, and one without any."""
        del evidence
        told = [explanation.text for explanation in explanations if explanation.text is not None]
        return (ask(text, self.config.n_texts) for text in [*told, None])

    def score(self, evidence: Evidence, explanations: Sequence[Explanation]) -> Iterator[Score]:
        """All numbers of all explanations, in order. Raises ConfigError without a coder."""
        if self.coder is None:
            raise ConfigError(
                "generation runs the SAE on what the judge writes, and has no model and SAE to run.\n"
                "  Score an atlas of a run, whose model and SAEs are there:  monoseme score RUN"
            )
        answers = self.answers(list(self.questions(evidence, explanations)))
        written = [
            _Written((), explanation.why_missing) if explanation.text is None else _written(next(answers))
            for explanation in explanations
        ]
        empty, lookup = _written(next(answers)), TokenLookup(evidence)
        others = others_of(explanations, seed=self.config.seed, scorer="generation", is_told=lambda said: said.text)
        of = {explanation.latent: texts for explanation, texts in zip(explanations, written, strict=True)}
        largest = evidence.latents.column("max")
        for explanation, other, own in zip(explanations, others, written, strict=True):
            latent = explanation.latent
            if explanation.text is None or not largest[latent]:
                why = (
                    f"not explained: {explanation.why_missing}" if explanation.text is None else "never fired in the scanned text"
                )
                yield from missing(latent, list(self.definitions), why)
                continue
            table = lookup.table(latent)
            surest = table.tokens[np.argsort(-table.precision, kind="stable")[: self.config.n_texts]].tolist()
            texts = {
                "own": own,
                "other": of[other.latent] if other is not None else _Written((), "no other latent was explained"),
                "empty": empty,
                "lookup": _Written(tuple(evidence.text.token_text(token) for token in surest), "it fires on no sampled token"),
            }
            yield from self._scores(
                _Trial(latent, float(largest[latent]), None if other is None else other.latent), texts, self.coder
            )

    def _scores(self, trial: "_Trial", texts: Mapping[str, "_Written"], coder: Coder) -> Iterator[Score]:
        for told in _TOLD:
            suffix = "" if told == "own" else f"_{told}"
            written = texts[told]
            if not written.texts:
                names = [f"{name}{suffix}" for name in ("fire_rate", "strength")]
                yield from missing(trial.latent, names, written.why_missing or "nothing was written")
                continue
            coded = coder(written.texts, [trial.latent])
            strongest = np.array([float(text.values.max(initial=0.0)) for text in coded])
            self.judgements += [_judgement(trial, told, text) for text in coded]
            each = np.arange(len(strongest))  # texts are what varies
            weights = numbers.document_weights(each, seed=self.config.seed)
            fires = (strongest > 0).astype(np.float64)
            least = least_share_error(fires, each)  # of a share: a strength may be above 1
            for name, found, limit in (("fire_rate", fires, least), ("strength", strongest / trial.largest, None)):
                estimate = numbers.estimate(numbers.mean(found, weights), least=limit)
                yield score_of(trial.latent, f"{name}{suffix}", estimate, n=len(found), why="nothing was written")


class _Trial(NamedTuple):
    latent: int
    largest: float
    """Its largest activation on the scanned text."""
    other: int | None
    """The latent whose explanation is the control."""


class _Written(NamedTuple):
    texts: tuple[str, ...]
    why_missing: str | None


@functools.cache
def _answer_type(n: int) -> type[BaseModel]:
    fields: dict[str, Any] = {f"text_{i + 1}": (str, ...) for i in range(n)}
    return create_model(f"Texts_{n}", __config__=ConfigDict(extra="forbid"), **fields)


def ask(explanation: str | None, n: int) -> Question:
    """The request for n texts."""
    return question(_SYSTEM, described(explanation), _answer_type(n), max_tokens=64 + _TOKENS_PER_TEXT * n)


def _written(answer: Answer) -> _Written:
    if answer.value is None:
        return _Written((), f"the judge gave no usable answer: {answer.failure}")
    return _Written(tuple(text[:_MOST_CHARACTERS] for text in answer.value.model_dump().values()), None)


def _judgement(trial: _Trial, told: str, text: CodedText) -> Judgement:
    strongest = float(text.values.max(initial=0.0))
    return Judgement(
        latent=trial.latent,
        told=told,
        told_of={"own": trial.latent, "other": trial.other}.get(told),
        question=0,
        kind="written",
        document=None,
        position=None,
        decile=None,
        truth=strongest,
        answer=None,
        says=strongest > 0,
        details=json.dumps({"tokens": text.texts, "values": np.round(text.values[:, 0], 4).tolist()}, ensure_ascii=False),
    )
