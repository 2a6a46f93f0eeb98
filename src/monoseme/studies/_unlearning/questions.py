"""Multiple-choice questions: of a hub dataset or a file, and as the prompts that a model reads.

A row has a `question`, its `choices` (a list) and the `answer`: its number from 0, its letter, or its text.

Source: WMDP (Li et al. 2024, arXiv:2403.03218) and MMLU (Hendrycks et al. 2021, arXiv:2009.03300), whose columns these are; the
words of the prompt are those of SAEBench 0.6.0, `evals/unlearning`.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, cast

from monoseme.core.errors import CorpusError, EmptyCorpusError
from monoseme.text import CorpusConfig
from monoseme.text.documents import rows_of
from monoseme.text.rows import BadRow, Row, is_text_file

LETTERS = "ABCDEF"
"""All orders of more choices than this would not be asked in a day."""
_SUBJECTS = {"wmdp-bio": "biology", "wmdp-cyber": "cyber security", "wmdp-chem": "chemistry"}


class Question(NamedTuple):
    """One question."""

    text: str
    choices: tuple[str, ...]
    answer: int
    """Which choice is right, from 0."""

    def reordered(self, order: Sequence[int]) -> "Question":
        """The same question, whose i-th choice is the old `order[i]`-th."""
        return Question(self.text, tuple(self.choices[i] for i in order), list(order).index(self.answer))


class QuestionSet(NamedTuple):
    """Questions about one subject."""

    name: str
    questions: tuple[Question, ...]

    @property
    def subject(self) -> str:
        """As the prompt names it."""
        return _SUBJECTS.get(self.name, self.name.replace("_", " "))

    def prompt(self, question: Question) -> str:
        """What a user would ask: the subject, the question, a line for each choice."""
        lines = "".join(f"\n{LETTERS[i]}. {choice}" for i, choice in enumerate(question.choices))
        return f"The following are multiple choice questions (with answers) about {self.subject}.\n{question.text}{lines}"


def read_questions(word: str, *, split: str, most: int | None) -> QuestionSet:
    """The questions of a file, or of a hub dataset "owner/name" or "owner/name:subset".

    Raises CorpusError for what cannot be opened and for a row that is no question, EmptyCorpusError where there is none.
    """
    source, subset = _named(word)
    columns = ("choices", "answer")
    corpus = CorpusConfig(source=source, subset=subset, split=split, field="question", label_fields=columns, streaming=False)
    name = subset or Path(source).name.split(".")[0]
    found: list[Question] = []
    for row in rows_of(corpus):
        if most is not None and len(found) == most:
            break
        found.append(_question(row))
    if not found:
        raise EmptyCorpusError(f"{word} holds no questions.\n  A row needs the columns question, choices and answer.")
    return QuestionSet(name, tuple(found))


def _named(word: str) -> tuple[str, str | None]:
    """What is read, and which configuration of it."""
    if Path(word).expanduser().exists() or is_text_file(Path(word)) or ":" not in word:
        return word, None
    source, _, subset = word.partition(":")
    return source, subset


def _question(row: Row | BadRow) -> Question:
    place = f"{row.file}, row {row.number}"
    if isinstance(row, BadRow):
        raise CorpusError(f"{place}: {row.why}")
    text, choices = row.fields.get("question"), row.fields.get("choices")
    if not isinstance(text, str) or not isinstance(choices, Sequence) or isinstance(choices, str):
        raise CorpusError(
            f"{place} is no question: it has {', '.join(row.fields) or 'no columns'}.\n"
            "  It needs question (text), choices (a list of texts; JSON lines and Parquet have lists, CSV has not) and answer."
        )
    told = tuple(str(choice) for choice in cast(Sequence[Any], choices))
    if not 2 <= len(told) <= len(LETTERS):
        raise CorpusError(f"{place} has {len(told)} choices; 2 to {len(LETTERS)} can be asked")
    return Question(text, told, _answer(row.fields, told, place))


def _answer(fields: Mapping[str, Any], choices: tuple[str, ...], place: str) -> int:
    """Raises CorpusError for an answer that is none of the choices."""
    answer = fields.get("answer")
    told = str(answer).strip()
    letters = LETTERS[: len(choices)]
    if told.isdecimal() and int(told) < len(choices):
        return int(told)
    if len(told) == 1 and told in letters:
        return letters.index(told)
    if answer in choices:
        return choices.index(cast(str, answer))
    raise CorpusError(
        f"{place}: the answer is {answer!r}; it must be 0 to {len(choices) - 1}, a letter of {letters}, or a choice"
    )
