"""Generation with a KV cache: ragged prompts in one batch, sampling, edits, tokens as they come.

Letters: n sequences, S positions, V vocabulary.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from monoseme.core.errors import ConfigError, ModelError
from monoseme.core.seeds import generator
from monoseme.models._forward import Call, Forward
from monoseme.models._padding import pad_left, positions_of
from monoseme.models._stops import StopTexts, first_stop
from monoseme.models._tokens import TextStream, as_ids
from monoseme.models.edit import Edit, EditContext

if TYPE_CHECKING:
    from monoseme.models.language_model import LanguageModel


class Generation(NamedTuple):
    """One continued prompt."""

    text: str
    """The new text, special tokens left out, up to the first stop text."""
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


@torch.no_grad()
def generate(
    forward: Forward,
    model: "LanguageModel",
    prompts: Sequence[list[int]],
    *,
    edits: tuple[Edit, ...],
    sampling: Sampling,
    on_token: Callable[[TokenEvent], None] | None,
    steer: Callable[[int, Tensor], Tensor] | None = None,
    reads_last: bool = False,
) -> list[Generation]:
    """Continues all prompts in one batch. Raises ModelError for empty and for too long prompts.

    The last new token needs no forward; with `reads_last` it has one all the same, so that edits see it.
    """
    if not prompts:
        return []
    _check_prompts(model, prompts, n_read=sampling.max_new_tokens - (0 if reads_last else 1), n_new=sampling.max_new_tokens)
    rows = [_Row(i, ids, model, sampling, on_token) for i, ids in enumerate(prompts)]
    state: tuple[dict[Any, Any], ...] = tuple({} for _ in rows)
    device = forward.device
    tokens, attended = pad_left(prompts, pad_id=_pad_id(model), device=device)
    cache: Any = None
    for index in range(sampling.max_new_tokens + (1 if reads_last else 0)):
        width = tokens.shape[1]
        live = torch.tensor([[not row.is_ended] for row in rows], device=device)
        context = EditContext(
            tokens=tokens,
            mask=model.editable(tokens, attended[:, -width:]) & live,
            positions=positions_of(attended)[:, -width:],
            row=torch.arange(len(rows), device=device),
            is_prompt=torch.full_like(tokens, index == 0, dtype=torch.bool),
            state=state,
        )
        logits, cache, _ = forward.step(Call(tokens, edits=edits), context, cache, attended)
        if index == sampling.max_new_tokens:
            break  # this forward was for the edits alone
        for i, (row, of_row) in enumerate(zip(rows, logits, strict=True)):
            if not row.is_ended:
                row.extend(of_row if steer is None else steer(i, of_row))
        if all(row.is_ended for row in rows):
            break
        tokens = torch.tensor([[row.last] for row in rows], device=device)
        attended = torch.cat([attended, attended.new_ones(len(rows), 1)], dim=1)
    return [row.result() for row in rows]


class _Row:
    """One prompt on its way."""

    def __init__(
        self,
        index: int,
        prompt: list[int],
        model: "LanguageModel",
        sampling: Sampling,
        on_token: Callable[[TokenEvent], None] | None,
    ) -> None:
        self.is_ended = False
        self._index = index
        self._prompt = prompt
        self._new: list[int] = []
        self._sampling = sampling
        self._generator = generator(sampling.seed, "generate", index)
        self._end_ids = model.end_ids
        self._tokenizer = model.tokenizer
        self._on_token = on_token
        self._stream = TextStream(model.tokenizer)
        self._stops = StopTexts(sampling.stop)

    @property
    def last(self) -> int:
        """The newest token; an ended row repeats its end token, which nobody reads."""
        return self._new[-1]

    def extend(self, logits: Tensor) -> None:
        """Chooses the next token from logits [V]."""
        token = choose(logits, self._sampling, self._generator)
        self._new.append(token)
        text, is_stopped = self._stops.push(self._stream.push(token)) if self._listens else ("", False)
        self.is_ended = is_stopped or token in self._end_ids
        if self._on_token is not None:
            is_last = self.is_ended or len(self._new) == self._sampling.max_new_tokens
            self._on_token(TokenEvent(self._index, len(self._new) - 1, token, text + (self._stops.rest() if is_last else "")))

    def result(self) -> Generation:
        text: str = self._tokenizer.decode(self._new, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return Generation(text[: first_stop(text, self._sampling.stop)], self._new, self._prompt, self.is_ended)

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


def _pad_id(model: "LanguageModel") -> int:
    return next(iter((*as_ids(model.tokenizer.pad_token_id), *sorted(model.end_ids), 0)))


def _check_prompts(model: "LanguageModel", prompts: Sequence[list[int]], *, n_read: int, n_new: int) -> None:
    """`n_read`: how many of the `n_new` tokens the model reads."""
    for i, ids in enumerate(prompts):
        if not ids:
            raise ModelError(f"prompt {i} is empty, and this model's tokenizer adds no token that begins a text. Type some text.")
        try:
            model.check_length(len(ids) + max(n_read, 0))
        except ModelError as error:
            raise ModelError(f"prompt {i} has {len(ids):,} tokens, and {n_new:,} more are asked for: {error}") from error
