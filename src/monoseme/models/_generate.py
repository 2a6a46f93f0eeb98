"""What is asked of a generation, how tokens are chosen, and one text on its way.

Letters: V vocabulary.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from monoseme.core.errors import ConfigError, ModelError
from monoseme.core.seeds import generator
from monoseme.models._stops import StopTexts, first_stop
from monoseme.models._tokens import TextStream, text_after
from monoseme.models.edit import Edit

if TYPE_CHECKING:
    from monoseme.models.language_model import LanguageModel


class Generation(NamedTuple):
    """One continued prompt."""

    text: str
    """What the new tokens add to the prompt's text, special tokens left out, up to the first stop text."""
    token_ids: list[int]
    """The new tokens, the end token included."""
    prompt_ids: list[int]
    is_ended: bool
    """Whether the model itself ended the text, by an end token or a stop text."""


class TokenEvent(NamedTuple):
    """A new token, told as it comes."""

    row: int
    """Which prompt."""
    step: int
    """How many new tokens this row had before."""
    token_id: int
    text: str
    """The text that this token completes; empty while a character lacks bytes, for special tokens, and while the text may yet
    turn out to be a stop."""


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """How the next token is chosen."""

    max_new_tokens: int = 100
    """Tokens per prompt at most (count)."""
    temperature: float = 0.0
    """Logits are divided by it; 0 takes the likeliest token."""
    top_p: float = 1.0
    """Only the fewest likeliest tokens whose probabilities reach this sum are drawn from, in (0, 1]."""
    seed: int = 0
    """Row i draws from the stream (seed, "generate", i)."""
    stop: tuple[str, ...] = ()
    """Texts that end a row, besides end tokens; they are left out."""

    def __post_init__(self) -> None:
        """Raises ConfigError for settings out of range."""
        if "" in self.stop:
            raise ConfigError("stop holds an empty text, which would end everything at once")
        if self.max_new_tokens < 0:
            raise ConfigError(f"max_new_tokens is {self.max_new_tokens}: give 0 or more")
        if not 0.0 <= self.temperature < float("inf"):
            raise ConfigError(f"temperature is {self.temperature}: give 0 (the likeliest token) or more")
        if not 0.0 < self.top_p <= 1.0:
            raise ConfigError(f"top_p is {self.top_p}: give a share above 0 and at most 1")


class GenerationRequest(NamedTuple):
    """Prompts to continue together."""

    prompts: Sequence[list[int]]
    sampling: Sampling
    edits: tuple[Edit, ...] = ()
    """Never act on padding and special tokens."""
    on_token: Callable[[TokenEvent], None] | None = None
    """Hears of every token as it comes."""
    steer: Callable[[int, Tensor], Tensor] | None = None
    """What becomes of the logits [V] of a row before its token is chosen."""
    reads_last: bool = False
    """Whether the last new token, which needs no forward, has one all the same, so that edits see it."""


class Row:
    """One prompt of a request on its way."""

    def __init__(self, index: int, request: GenerationRequest, model: "LanguageModel") -> None:
        """`index`: which of the request's prompts."""
        self.index = index
        self.prompt = request.prompts[index]
        self.is_ended = False
        self.state: dict[Any, Any] = {}
        """What edits keep of it from forward to forward."""
        self._new: list[int] = []
        self._n_forwards = 0
        self._n_last = request.sampling.max_new_tokens + (1 if request.reads_last else 0)
        self._sampling = request.sampling
        self._steer = request.steer
        self._generator = generator(request.sampling.seed, "generate", index)
        self._end_ids = model.end_ids
        self._tokenizer = model.tokenizer
        self._on_token = request.on_token
        self._stream = TextStream(model.tokenizer, after=self.prompt)
        self._stops = StopTexts(request.sampling.stop)

    @property
    def is_done(self) -> bool:
        """Whether it needs no further forward."""
        return self.is_ended or self._n_forwards >= self._n_last

    @property
    def last(self) -> int:
        """The newest token; a row that is done repeats it, which nobody reads."""
        return self._new[-1] if self._new else self.prompt[-1]

    def had(self, logits: Tensor) -> None:
        """A forward gave logits [V] for what comes next: chooses it, unless the forward was for the edits alone."""
        self._n_forwards += 1
        if not self.is_ended and len(self._new) < self._sampling.max_new_tokens:
            self._extend(logits if self._steer is None else self._steer(self.index, logits))

    def _extend(self, logits: Tensor) -> None:
        token = choose(logits, self._sampling, self._generator)
        self._new.append(token)
        text, is_stopped = self._stops.push(self._stream.push(token)) if self._listens else ("", False)
        self.is_ended = is_stopped or token in self._end_ids
        if self._on_token is not None:
            is_last = self.is_ended or len(self._new) == self._sampling.max_new_tokens
            self._on_token(TokenEvent(self.index, len(self._new) - 1, token, text + (self._stops.rest() if is_last else "")))

    def result(self) -> Generation:
        """What it has become."""
        text = text_after(self._tokenizer, self.prompt, self._new)
        return Generation(text[: first_stop(text, self._sampling.stop)], self._new, self.prompt, self.is_ended)

    @property
    def _listens(self) -> bool:
        """Whether text is needed while it comes: to be told, or for what ends it."""
        return self._on_token is not None or bool(self._sampling.stop)


def choose(logits: Tensor, sampling: Sampling, random: torch.Generator) -> int:
    """The next token from logits [V], in float32.

    Draws by inverting the cumulative distribution over tokens sorted by probability, so one uniform number makes one token.
    """
    if sampling.temperature == 0.0:
        return int(logits.argmax())
    probabilities, order = torch.softmax(logits.float() / sampling.temperature, dim=-1).sort(descending=True, stable=True)
    cumulative = probabilities.cumsum(-1)
    # A token stays while the sum before it is below top_p, so the likeliest always does.
    n_kept = int((cumulative - probabilities < sampling.top_p).sum())
    drawn = torch.rand((), generator=random).to(cumulative.device) * cumulative[n_kept - 1]
    place = int(torch.searchsorted(cumulative[:n_kept], drawn, right=True))
    return int(order[min(place, n_kept - 1)])


def check_prompts(model: "LanguageModel", request: GenerationRequest) -> None:
    """Raises ModelError for prompts that are empty, and for those that leave no room for what is asked."""
    n_new = request.sampling.max_new_tokens
    n_read = max(n_new - (0 if request.reads_last else 1), 0)
    for i, ids in enumerate(request.prompts):
        if not ids:
            raise ModelError(f"prompt {i} is empty, and this model's tokenizer adds no token that begins a text. Type some text.")
        try:
            model.check_length(len(ids) + n_read)
        except ModelError as error:
            raise ModelError(f"prompt {i} has {len(ids):,} tokens, and {n_new:,} more are asked for: {error}") from error
