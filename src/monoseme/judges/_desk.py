"""The desk: where questions go out to a judge and answers come back, each paid once, within a budget, whatever is interrupted."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ValidationError

from monoseme.judges._base import Judge, Question, Reply


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What became of a question."""

    text: str | None
    """The judge's words; None where there are none."""
    value: BaseModel | None = None
    """The checked answer of a question with an `answer_type`; None for free text and failures."""
    failure: str | None = None
    """Why there is no answer to use; None where there is one."""
    reply: Reply | None = None
    """As it came, with its tokens; None for a question that was never sent."""
    is_kept: bool = False
    """Whether it was there from before, and cost nothing now."""


class Desk:
    """Puts questions to one judge."""

    def __init__(self, judge: Judge) -> None:
        self.judge = judge

    def answers(self, questions: Iterable[Question]) -> Iterator[Answer]:
        """One answer for each question, in their order."""
        for question in questions:
            yield read_reply(question, self.judge.answer(question))


def read_reply(question: Question, reply: Reply) -> Answer:
    """The reply checked against what the question asks for; what does not fit is a failure with the reason."""
    if reply.failure is not None or reply.text is None:
        return Answer(text=reply.text, failure=reply.failure or "no text came back", reply=reply)
    if question.answer_type is None:
        return Answer(text=reply.text, reply=reply)
    try:
        value: Any = question.answer_type.model_validate(json.loads(reply.text))
    except (ValueError, ValidationError) as error:
        return Answer(text=reply.text, failure=f"the answer is not what was asked for: {str(error)[:200]}", reply=reply)
    return Answer(text=reply.text, value=value, reply=reply)
