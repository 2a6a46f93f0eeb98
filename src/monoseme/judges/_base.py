"""The contract of judges: language models that are asked about latents, each question complete in itself.

A plug-in is a file of this package with one concrete subclass of `Judge` and its nested `Config`. A judge answers one question;
one whose provider takes many at once for less is a `BatchJudge`. Caching, budgets, rates and resuming are the desk's
(`_desk.py`), so that no judge has them.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Literal, NamedTuple

from pydantic import BaseModel

from monoseme.core.files import hash_json

Role = Literal["system", "user", "assistant"]


class Message(NamedTuple):
    """One turn of what a judge is shown."""

    role: Role
    text: str


@dataclass(frozen=True, kw_only=True)
class Question:
    """One request, whole: what is sent follows from it and from the judge's config alone."""

    messages: tuple[Message, ...]
    """A system message first, if any; then user and assistant in turn, a user's last."""
    answer_type: type[BaseModel] | None = None
    """What the answer must be, as a pydantic model; None: free text."""
    max_tokens: int = 1024
    """Tokens of the answer at most (count); a reply that ends there is a failure."""
    temperature: float = 0.0
    n_logprobs: int = 0
    """Likeliest tokens whose log-probabilities are wanted at each place of the answer (count); not all judges give them."""

    @property
    def schema(self) -> dict[str, Any] | None:
        """JSON schema of the answer; None for free text."""
        return None if self.answer_type is None else self.answer_type.model_json_schema()

    def key(self, asked: Mapping[str, Any]) -> str:
        """Content hash of the question put to a judge that is `asked` (`Judge.identity`): equal ones are paid for once."""
        said = {
            "messages": [list(message) for message in self.messages],
            "schema": self.schema,
            "max_tokens": self.max_tokens,
            "temperature": self.temperature,
            "n_logprobs": self.n_logprobs,
        }
        return hash_json({"question": said, "judge": dict(asked)})


class TokenChance(NamedTuple):
    """A token of an answer with the likeliest ones at its place."""

    text: str
    likeliest: Mapping[str, float]
    """Token -> natural logarithm of its probability."""


@dataclass(frozen=True, kw_only=True)
class Reply:
    """What a judge gave back for one question, as it came."""

    text: str | None
    """None where there is none."""
    failure: str | None = None
    """Why the reply is of no use: refused by the provider, cut off at max_tokens, expired in a batch. None: it is whole."""
    input_tokens: int = 0
    """Tokens charged as input (count), those read from a provider's cache left out."""
    cached_input_tokens: int = 0
    """Tokens that the provider read from its own cache (count); mostly cheaper."""
    written_input_tokens: int = 0
    """Tokens that the provider wrote into its own cache (count), not part of `input_tokens`; dearer at some."""
    output_tokens: int = 0
    """Tokens charged as output (count), those of hidden reasoning included."""
    tokens: tuple[TokenChance, ...] = ()
    """The answer's tokens where log-probabilities were asked for and given."""
    may_be_charged: bool = False
    """Whether a failure without tokens may yet be paid for (a time-out, a lost connection): the most it can cost is counted."""


class Judge(ABC):
    """Answers questions; safe to use from several threads at once."""

    plugin_name: ClassVar[str]

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Settings of a judge. None of them is a key: keys come from the environment."""

        model: str = ""
        """The provider's name of the model, or a folder."""

    def __init__(self, config: Config) -> None:
        """Raises ExtraMissingError where its package is not installed."""
        self.config = config

    @property
    def identity(self) -> dict[str, Any]:
        """What tells answers of this judge from another's: its plug-in name and all settings that move an answer."""
        return {"judge": self.plugin_name, **asdict(self.config)}

    @property
    def price_name(self) -> str | None:
        """The model's name in the table of prices; None for a judge that costs nothing."""
        return self.config.model

    @property
    def missing_key(self) -> str | None:
        """The environment variable that should hold its key and does not; None: it can be asked. What questions cost can still be
        estimated."""
        return None

    @abstractmethod
    def answer(self, question: Question) -> Reply:
        """One answer, after such retries as the provider asks for; a request that may have been charged is not sent again.

        Raises JudgeError where the provider cannot be reached or refuses all (a wrong key, no credit, no such model), ConfigError
        where its key is not in the environment; a question that this judge alone cannot answer gives a reply with a failure.
        """

    @abstractmethod
    def count_tokens(self, question: Question) -> int | None:
        """Input tokens that the question will be charged for; None where nobody can say before it is asked, or without a key."""


class BatchState(NamedTuple):
    """How far a batch is."""

    is_ended: bool
    n_done: int
    n_questions: int


class SentBatch(NamedTuple):
    """A batch that the provider knows of."""

    batch_id: str
    created: float
    """Seconds since 1970."""
    n_questions: int
    mark: str | None
    """What `send` was given as its mark, where the provider keeps such; else None."""


class BatchJudge(Judge):
    """A judge that also takes many questions at once, for less, and answers within a day."""

    most_in_batch: ClassVar[int]
    """Questions of one batch at most (count)."""
    batch_discount: ClassVar[float]
    """Share of the normal price that a batch costs, such as 0.5."""

    @abstractmethod
    def send(self, questions: Mapping[str, Question], *, mark: str) -> str:
        """Sends questions by their ids ([a-zA-Z0-9_-], at most 64 characters); the batch's id. `mark` names the batch for us."""

    @abstractmethod
    def look(self, batch_id: str) -> BatchState:
        """How far it is."""

    @abstractmethod
    def collect(self, batch_id: str) -> Iterator[tuple[str, Reply]]:
        """Question ids with replies of an ended batch, in any order; a question that expired has a failure."""

    @abstractmethod
    def recent(self, since: float) -> Sequence[SentBatch]:
        """Batches created at or after that time: how a batch is found again whose id was lost by a kill."""
