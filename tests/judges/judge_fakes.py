"""A provider in a folder: it outlives the process that asks, knows what it was paid for, and can be slow, dear or broken."""

import dataclasses
import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel

from monoseme.core.errors import JudgeError
from monoseme.judges import BatchJudge, BatchState, Judge, Message, Question, Reply, SentBatch

PRICES = """
[[price]]
model = "m-7"
input = 2.0
output = 10.0
cached_input = 0.2
cache_write = 2.5
read = "2026-11-22"
source = "a test"
"""


class Verdict(BaseModel):
    """An answer with a form."""

    score: int


def ask(n: int, *, max_tokens: int = 50, answer_type: type[BaseModel] | None = None) -> Question:
    """The n-th question."""
    return Question(messages=(Message("user", f"question {n}"),), max_tokens=max_tokens, answer_type=answer_type)


def asked(n_questions: int) -> list[Question]:
    return [ask(n) for n in range(n_questions)]


def words_of(question: Question) -> str:
    return question.messages[-1].text


class FolderJudge(Judge):
    """Answers "echo: ..." to everything, and writes each question it was paid for to a file."""

    plugin_name = "folder"

    @dataclass(frozen=True, kw_only=True)
    class Config(Judge.Config):
        """Where the provider lives."""

        model: str = "m-7"
        home: str = ""
        seconds: float = 0.0

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.home = Path(config.home)
        self.seconds = config.seconds
        self.special: dict[str, Reply | Exception] = {}
        """What is said to a question of these words instead."""
        self.n_at_once = self.most_at_once = 0

    @property
    def identity(self) -> dict[str, object]:
        return {"judge": "folder", "model": self.config.model}

    def answer(self, question: Question) -> Reply:
        self.n_at_once += 1
        self.most_at_once = max(self.most_at_once, self.n_at_once)
        try:
            time.sleep(self.seconds)
            return self._pay(question)
        finally:
            self.n_at_once -= 1

    def count_tokens(self, question: Question) -> int | None:
        return 11

    def paid(self) -> list[str]:
        """Words of all questions paid for, as often as they were."""
        path = self.home / "paid"
        return path.read_text().splitlines() if path.exists() else []

    def _pay(self, question: Question) -> Reply:
        said = self.special.get(words_of(question), Reply(text=f"echo: {words_of(question)}", input_tokens=11, output_tokens=5))
        if isinstance(said, Exception):
            raise said
        if said.input_tokens:
            handle = os.open(self.home / "paid", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
            os.write(handle, words_of(question).encode() + b"\n")
            os.close(handle)
        return said


class FolderBatchJudge(BatchJudge, FolderJudge):
    """The same with batches, each a file of the provider's folder. Paid when the provider has the batch."""

    plugin_name = "folder_batch"
    most_in_batch = 1000
    batch_discount = 0.5

    @dataclass(frozen=True, kw_only=True)
    class Config(FolderJudge.Config):
        """Where the provider lives."""

        keeps_marks: bool = True
        n_looks: int = 0
        """Looks after which a batch is done."""

    def send(self, questions: Mapping[str, Question], *, mark: str) -> str:
        time.sleep(self.seconds)
        number = len(list(self.home.glob("batch_*.json")))
        said = {name: dataclasses.asdict(self._pay_later(question)) for name, question in questions.items()}
        words = [words_of(question) for question in questions.values()]
        data = {"mark": mark, "created": time.time(), "replies": said, "words": words, "looks": 0}
        draft = self.home / f"draft_{os.getpid()}"
        draft.write_text(json.dumps(data))
        draft.replace(self.home / f"batch_{number}.json")
        time.sleep(self.seconds)
        return f"batch_{number}"

    def look(self, batch_id: str) -> BatchState:
        data = self._batch(batch_id)
        data["looks"] += 1
        draft = self.home / f"draft_{os.getpid()}"
        draft.write_text(json.dumps(data))
        draft.replace(self.home / f"{batch_id}.json")
        n = len(data["replies"])
        is_ended = data["looks"] > self.config.n_looks
        return BatchState(is_ended, n if is_ended else n // 2, n)

    def collect(self, batch_id: str) -> Iterator[tuple[str, Reply]]:
        for name, reply in reversed(list(self._batch(batch_id)["replies"].items())):
            time.sleep(self.seconds / 10)
            yield name, Reply(**{**reply, "tokens": ()})

    def recent(self, since: float) -> Sequence[SentBatch]:
        found = []
        for path in sorted(self.home.glob("batch_*.json")):
            data = self._batch(path.stem)
            if data["created"] >= since:
                mark = data["mark"] if self.config.keeps_marks else None
                found.append(SentBatch(path.stem, data["created"], len(data["replies"]), mark))
        return found

    def paid(self) -> list[str]:
        sent = [words for path in sorted(self.home.glob("batch_*.json")) for words in self._batch(path.stem)["words"]]
        return super().paid() + sent

    def _pay_later(self, question: Question) -> Reply:
        said = self.special.get(words_of(question), Reply(text=f"echo: {words_of(question)}", input_tokens=11, output_tokens=5))
        if isinstance(said, Exception):
            raise JudgeError(str(said))
        return said

    def _batch(self, batch_id: str) -> dict:
        return json.loads((self.home / f"{batch_id}.json").read_text())
