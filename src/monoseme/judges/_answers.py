"""What becomes of a question: the judge's reply checked against what was asked for."""

import json
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ValidationError

from monoseme.judges._base import Question, Reply


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


def read_reply(question: Question, reply: Reply, *, is_kept: bool = False) -> Answer:
    """The reply checked against what the question asks for; what does not fit is a failure with the reason."""
    if reply.failure is not None or reply.text is None:
        return Answer(text=reply.text, failure=reply.failure or "no text came back", reply=reply, is_kept=is_kept)
    if question.answer_type is None:
        return Answer(text=reply.text, reply=reply, is_kept=is_kept)
    try:
        value: Any = question.answer_type.model_validate(json.loads(reply.text))
    except (ValueError, ValidationError, RecursionError) as error:  # no JSON, not what was asked for, brackets without end
        failure = f"the answer is not what was asked for: {str(error)[:200]}"
        return Answer(text=reply.text, failure=failure, reply=reply, is_kept=is_kept)
    return Answer(text=reply.text, value=value, reply=reply, is_kept=is_kept)
