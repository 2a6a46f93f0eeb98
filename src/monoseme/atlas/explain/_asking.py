"""What explainers that ask a language model share: a question for each latent, all asked at once, every answer checked."""

import json
import unicodedata
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict

from monoseme.atlas.evidence import Evidence
from monoseme.atlas.excerpts import Excerpts
from monoseme.atlas.explain._base import Explainer
from monoseme.atlas.said import Explanation
from monoseme.core.clean import clean_text
from monoseme.core.errors import ConfigError
from monoseme.judges import Answer, Question

_MOST_CHARACTERS = 600
"""Of an explanation (count); more is no description of one thing."""
_MOST_DETAILS = 4_000
"""Characters kept of what else a judge says in one field, or of an answer of no use (count)."""


Certainty = Literal[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10]
"""In tenths. A choice: providers refuse schemas with bounds, and a small model held to a grammar alone never ends a number."""


class Explained(BaseModel):
    """What makes the unit active."""

    model_config = ConfigDict(extra="forbid")

    reasoning: str
    explanation: str
    certainty: Certainty


class Asked(NamedTuple):
    """What is put to the judge about one latent."""

    question: Question | None
    """None where there is nothing to ask."""
    why_missing: str | None = None
    """Why there is not."""
    n_firings: int = 0
    """Excerpts or sentences shown on which it fires (count)."""
    n_background: int = 0
    """Tokens shown on which it does not fire (count)."""
    details: Mapping[str, Any] = {}
    """What is kept beside the answer: which places of the text were shown."""


class AskingExplainer(Explainer):
    """Asks one question about each latent."""

    asks_judge = True

    @dataclass(frozen=True, kw_only=True)
    class Config(Explainer.Config):
        """How long an answer may be."""

        max_tokens: int = 600
        """Tokens of an answer at most (count); one that is longer is a failure."""

        def __post_init__(self) -> None:
            if self.max_tokens < 1:
                raise ConfigError(f"max_tokens must be at least 1, not {self.max_tokens}")

    def questions(self, evidence: Evidence, latents: Sequence[int]) -> Iterator[Question]:
        """The questions in the order of the latents; none for a latent that cannot be explained."""
        excerpts = Excerpts(evidence)
        asked = (self._asked(excerpts, latent) for latent in latents)
        return (one.question for one in asked if one.question is not None)

    def explain(self, evidence: Evidence, latents: Sequence[int]) -> Iterator[Explanation]:
        """Explanations in the order asked for; an answer of no use is an explanation that is missing, with the reason."""
        assert self.desk is not None  # the constructor has seen to it
        excerpts = Excerpts(evidence)
        asked = [self._asked(excerpts, latent) for latent in latents]
        answers = self.desk.answers([one.question for one in asked if one.question is not None])
        for latent, one in zip(latents, asked, strict=True):
            if one.question is None:
                yield Explanation(latent=latent, text=None, why_missing=one.why_missing, n_firings=one.n_firings)
            else:
                yield self._explanation(latent, one, next(answers))

    def _asked(self, excerpts: Excerpts, latent: int) -> Asked:
        """What is asked, or for a latent that never fired why nothing is."""
        why = excerpts.evidence.latents.row(latent)["why_missing"]
        return Asked(None, why) if why is not None else self.ask(excerpts, latent)

    @abstractmethod
    def ask(self, excerpts: Excerpts, latent: int) -> Asked:
        """The question about a latent that fires somewhere, or why there is none."""

    @abstractmethod
    def read(self, value: BaseModel) -> tuple[str, dict[str, Any]]:
        """The explanation in a checked answer, and what else it says."""

    def _explanation(self, latent: int, asked: Asked, answer: Answer) -> Explanation:
        text, said, failure = None, {}, answer.failure
        if answer.value is not None:
            text, said = self.read(answer.value)
            text = _one_line(text)
            failure = None if text else "its explanation is empty"
        if failure is not None:
            said = {"answer": answer.text}
        return Explanation(
            latent=latent,
            text=text or None,
            why_missing=None if failure is None else f"the judge gave no answer of use: {clean_text(failure)}",
            n_firings=asked.n_firings,
            n_background=asked.n_background,
            details=json.dumps({name: _bounded(value) for name, value in said.items()} | dict(asked.details)),
        )


def _one_line(text: str) -> str:
    """The text without control characters, on one line, bounded."""
    plain = "".join(" " if unicodedata.category(letter).startswith(("C", "Z")) else letter for letter in clean_text(text))
    line = " ".join(plain.split())
    return line if len(line) <= _MOST_CHARACTERS else line[: _MOST_CHARACTERS - 1] + "…"


def _bounded(value: Any) -> Any:
    """What a judge said, cut to a size that can be stored."""
    if isinstance(value, str):
        return clean_text(value)[:_MOST_DETAILS]
    return [_bounded(item) for item in value[:100]] if isinstance(value, list) else value
