"""A language model on this machine, by transformers: nothing leaves it, and nothing is paid.

Answers are the likeliest ones (greedy) unless a question has a temperature, and are held to the question's type token by token.
Questions that arrive together, from several threads, are answered in one batch.
"""

import functools
import threading
import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from monoseme.core.errors import ConfigError
from monoseme.judges._base import Judge, Message, Question, Reply
from monoseme.judges._grammar import Grammars, Guide, import_llguidance
from monoseme.judges._hand import Hand
from monoseme.judges._prompting import prompt_text, shortened
from monoseme.judges._schema import told_schema
from monoseme.models import LanguageModel, ModelConfig, Sampling

_MOMENT = 0.003


class Local(Judge):
    """A model of transformers."""

    @dataclass(frozen=True, kw_only=True)
    class Config(Judge.Config):
        """A folder or a hub id; "bundled" is the small model that ships with monoseme, good for trying things out only."""

        model: str = "bundled"
        """Folder or hub id (owner/name); "bundled" is the small model that ships with monoseme."""
        device: str = "cpu"
        """Where the model runs: cpu, cuda, cuda:1, mps."""
        dtype: Literal["auto", "float32", "bfloat16", "float16"] = "float32"
        """Type of the weights; "auto" takes the one they were saved in."""
        batch_size: int = 8
        """Questions answered together at most (count). Their number moves the last bits of logits, and so an answer where
        two tokens are as good as equal; 1 gives the same answers always."""
        structure: Literal["grammar", "words"] = "grammar"
        """How an answer is held to its type: token by token (needs llguidance), or by telling its JSON schema in words."""
        tells_schema: bool = True
        """Whether the JSON schema is also told in words where a grammar holds the answer."""
        most_characters: int = 600
        """Length of each text in an answer held by a grammar, where its type sets no bound (count). Lists and numbers without
        a bound have one too: 64 items, and a thousand million with four decimals."""
        long_questions: Literal["fail", "cut"] = "fail"
        """What becomes of questions longer than the model reads: a failure, or what stands in their middle is left out."""

        def __post_init__(self) -> None:
            """Raises ConfigError for numbers out of range."""
            if self.batch_size < 1 or self.most_characters < 1:
                raise ConfigError("batch_size and most_characters must be 1 or more")

    def __init__(self, config: Config) -> None:
        """Raises ExtraMissingError where a grammar is asked for and llguidance is not installed."""
        super().__init__(config)
        self._own = config
        if config.structure == "grammar":
            import_llguidance()
        self._queue: deque[_Waiting] = deque()
        self._model_lock = threading.Lock()
        self._tokenizer_lock = threading.Lock()

    @property
    def identity(self) -> dict[str, Any]:
        """As of every judge; the model by its content, wherever it lies and runs."""
        said = super().identity
        kept = {name: value for name, value in said.items() if name not in ("model", "device", "batch_size")}
        return {**kept, "content": self._sizes.content_hash()}

    @property
    def price_name(self) -> str | None:
        """None: it costs nothing."""
        return None

    def answer(self, question: Question) -> Reply:
        """One answer, in a batch with those that other threads wait for.

        Raises ModelNotFoundError, GatedModelError or ModelError where the model cannot be loaded, ConfigError for an answer's
        type that is no grammar.
        """
        with self._tokenizer_lock:
            prompt, guide = self._prompt(question), self._guide(question)
        longest = self._sizes.spec.n_positions
        if longest is not None and len(prompt.ids) >= longest:
            return Reply(text=None, failure=self._too_long(len(prompt.ids), longest))
        room = question.max_tokens if longest is None else min(question.max_tokens, longest - len(prompt.ids))
        mine = _Waiting(prompt.ids, Hand(question, guide, room=room, ends_at_blank=not prompt.is_templated), Future())
        self._queue.append(mine)
        with self._model_lock:
            # Who comes first answers for all that wait; the others find their answers here.
            while not mine.future.done():
                self._answer_batch(self._next_batch())
        return mine.future.result()

    def count_tokens(self, question: Question) -> int | None:
        """Tokens of the prompt; the weights are not loaded for it."""
        with self._tokenizer_lock:
            return len(self._prompt(question).ids)

    @functools.cached_property
    def _model(self) -> LanguageModel:
        return LanguageModel.load(self._model_config)

    @functools.cached_property
    def _sizes(self) -> LanguageModel:
        return LanguageModel.sizes(self._model_config)

    @functools.cached_property
    def _grammars(self) -> Grammars:
        return Grammars(self._sizes)

    @property
    def _model_config(self) -> ModelConfig:
        return ModelConfig(model=self._own.model, device=self._own.device, dtype=self._own.dtype)

    def _prompt(self, question: Question) -> "_Prompt":
        is_told = self._own.structure == "words" or self._own.tells_schema
        messages: Sequence[Message] = told_schema(question) if is_told else question.messages
        tokenizer = self._sizes.tokenizer
        text, is_templated = prompt_text(messages, tokenizer)
        ids = list(tokenizer(text, add_special_tokens=not is_templated, verbose=False)["input_ids"])
        longest = self._sizes.spec.n_positions
        if self._own.long_questions == "cut" and longest is not None:
            ids = shortened(ids, max(longest - question.max_tokens, longest // 2))
        return _Prompt(ids, is_templated)

    def _guide(self, question: Question) -> Guide | None:
        if question.schema is None or self._own.structure == "words":
            return None
        return self._grammars.guide(question.schema, most_characters=self._own.most_characters)

    def _too_long(self, n_tokens: int, longest: int) -> str:
        return (
            f"the question has {n_tokens:,} tokens, and {self._own.model} reads {longest:,} with the answer; "
            "ask less at once (--judge.no-tells-schema, --explainer.n_top 4 --explainer.n_tokens 8), or leave out what "
            "stands in its middle (--judge.long_questions cut)"
        )

    def _next_batch(self) -> list["_Waiting"]:
        """Those that wait, after a moment in which others may come: threads that were answered together ask together."""
        n_seen = 0
        while n_seen < len(self._queue) < self._own.batch_size:
            n_seen = len(self._queue)
            time.sleep(_MOMENT)
        return [self._queue.popleft() for _ in range(min(len(self._queue), self._own.batch_size))]

    def _answer_batch(self, batch: Sequence["_Waiting"]) -> None:
        """Answers all of a batch; an error reaches every thread that waits for it."""
        try:
            self._write([(waiting.prompt, waiting.hand) for waiting in batch])
            for waiting in batch:
                waiting.future.set_result(waiting.hand.reply(self._model, len(waiting.prompt)))
        except BaseException as error:
            for waiting in batch:
                if not waiting.future.done():
                    waiting.future.set_exception(error)
            raise

    def _write(self, rows: Sequence[tuple[list[int], Hand]]) -> None:
        """Writes all answers to their ends. No row may outgrow the model's context, so all write as many tokens as the one
        with the least room may, and those that are not done go on from there."""
        end_ids = self._model.end_ids
        while left := [(prompt, hand) for prompt, hand in rows if not hand.is_done(end_ids)]:
            hands = [hand for _, hand in left]
            self._model.generate_steered(
                [[*prompt, *hand.ids] for prompt, hand in left],
                steer=lambda row, logits, hands=hands: hands[row].steer(logits, end_ids),
                sampling=Sampling(max_new_tokens=min(hand.n_left for hand in hands)),
                on_token=lambda event, hands=hands: hands[event.row].take(event),
            )


class _Prompt(NamedTuple):
    ids: list[int]
    is_templated: bool


class _Waiting(NamedTuple):
    prompt: list[int]
    hand: Hand
    future: "Future[Reply]"
