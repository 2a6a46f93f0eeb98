"""A judge in memory that answers by a given function, for tests of what asks one."""

from collections.abc import Callable
from dataclasses import dataclass

from monoseme.judges import Judge, Question, Reply


class FakeJudge(Judge):
    """Answers with what a function makes of the question, and remembers what it was asked."""

    @dataclass(frozen=True, kw_only=True)
    class Config(Judge.Config):
        """Nothing."""

    plugin_name = "fake"

    def __init__(self, answer: Callable[[Question], str | Reply]) -> None:
        super().__init__(self.Config(model="fake-1"))
        self._answer = answer
        self.asked: list[Question] = []

    @property
    def price_name(self) -> None:
        return None

    def answer(self, question: Question) -> Reply:
        self.asked.append(question)
        said = self._answer(question)
        return (
            said if isinstance(said, Reply) else Reply(text=said, input_tokens=len(question.messages[-1].text), output_tokens=7)
        )

    def count_tokens(self, question: Question) -> int:
        return len(question.messages[-1].text)
