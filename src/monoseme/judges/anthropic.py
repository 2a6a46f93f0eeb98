"""Claude by Anthropic's Messages API, one by one or as message batches for half the price.

Structured answers by `output_config.format`. Temperature is not sent unless asked for: the API takes none from its version of
October 2026 on. Source: Anthropic's API reference (Messages, Message Batches, count tokens).
"""

import contextlib
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar, Literal

from monoseme.core.errors import JudgeError
from monoseme.judges._base import BatchJudge, BatchState, Question, Reply, SentBatch
from monoseme.judges._calling import Caller, Refused, RemoteConfig, RemoteJudge, Unsure, import_sdk, new_client
from monoseme.judges._reading import at, identifier, number
from monoseme.judges._schema import BOUNDS, strict_schema

_HOME = "https://api.anthropic.com"
_OLDER_VERSION = {"anthropic-version": "2023-06-01"}
_PAGE = 100


class Anthropic(RemoteJudge, BatchJudge):
    """Claude."""

    # The provider takes 100,000 in a batch, but of 256 MB in all: so many may each have 25 kB.
    most_in_batch: ClassVar[int] = 10_000
    batch_discount: ClassVar[float] = 0.5

    @dataclass(frozen=True, kw_only=True)
    class Config(RemoteConfig):
        """A model of Anthropic's, such as claude-haiku-4-5."""

        key_variable: str = "ANTHROPIC_API_KEY"
        """Environment variable that holds the key."""
        sends_temperature: bool = False
        """Send each question's temperature, in the interface of 2023: only for older models, newer ones refuse it."""
        thinking: Literal["disabled", "adaptive"] | None = None
        """Whether the model thinks before it answers, which is charged as output and counts towards max_tokens.
        None: as the model does by itself."""
        effort: Literal["low", "medium", "high", "xhigh", "max"] | None = None
        """How much effort the model puts into an answer. None: as the model does by itself."""
        caches_system: bool = False
        """Mark the system message for the provider's cache: read again for a tenth of the price, written for a quarter more.
        Worth it where one system message of 1,024 tokens or more goes before many questions."""

    def __init__(self, config: Config) -> None:
        """Raises ExtraMissingError without the package, ConfigError without a model."""
        super().__init__(config, key_variable=config.key_variable)
        self._own = config
        sdk = import_sdk("anthropic")
        self._client = new_client(sdk, "Anthropic", config, key=self._key or "none", home=_HOME)
        self._caller = Caller(sdk, config, key=self._key, missing_key=self.missing_key)

    def _ask(self, question: Question) -> Reply:
        known, others = self._body(question)
        request = self._client.messages.with_streaming_response.create
        return _read_message(self._caller.json(request, **known, extra_body=others, extra_headers=self._headers))

    def count_tokens(self, question: Question) -> int | None:
        """As the provider's own count says, which is free; None without a key. Raises JudgeError as `answer` does."""
        if self.missing_key is not None:
            return None
        known, others = self._body(question)
        others.pop("temperature", None)
        request = self._client.messages.with_streaming_response.count_tokens
        try:
            told = self._caller.json(request, model=known["model"], messages=known["messages"], extra_body=others)
        except (Refused, Unsure):
            return None
        return number(told.get("input_tokens")) or None

    def send(self, questions: Mapping[str, Question], *, mark: str) -> str:
        """Sends a batch; the provider keeps no mark. Raises JudgeError, also where it is not known whether the batch arrived."""
        requests: list[dict[str, Any]] = []
        for name, question in questions.items():
            known, others = self._body(question)
            requests.append({"custom_id": name, "params": {**known, **others}})
        request = self._client.messages.batches.with_streaming_response.create
        try:
            told = self._caller.json(request, again=False, requests=requests, extra_headers=self._headers)
        except Refused as refused:
            raise JudgeError(f"Anthropic takes no such batch: {refused}") from None
        except Unsure as unsure:
            raise JudgeError(
                f"it is not known whether batch {mark} arrived: {unsure}\n  The same command finds it if it did."
            ) from None
        return _id_of(told)

    def look(self, batch_id: str) -> BatchState:
        """How far it is. Raises JudgeError where it is not known."""
        told = self._get(self._client.messages.batches.with_streaming_response.retrieve, message_batch_id=batch_id)
        counts = _counts(told)
        n_questions = sum(counts.values())
        is_ended = told.get("processing_status") == "ended"
        return BatchState(is_ended, n_questions if is_ended else n_questions - counts["processing"], n_questions)

    def collect(self, batch_id: str) -> Iterator[tuple[str, Reply]]:
        """Replies of an ended batch. Raises JudgeError where they break off: they can be collected again, for nothing."""
        try:
            for line in self._caller.lines(self._results, batch_id=batch_id):
                if isinstance(line.get("custom_id"), str):
                    yield line["custom_id"], _read_result(line.get("result"))
        except (Refused, Unsure) as error:
            raise JudgeError(f"the results of {batch_id} cannot be read: {error}\n  Give the same command again.") from None

    def recent(self, since: float) -> Sequence[SentBatch]:
        """Batches of this key's workspace, newest first."""
        found: list[SentBatch] = []
        page: dict[str, Any] = {}
        while True:
            told = self._get(self._client.messages.batches.with_streaming_response.list, limit=_PAGE, **page)
            batches = [_sent(batch) for batch in told.get("data") or []]
            found += [batch for batch in batches if batch.created >= since]
            is_past = any(batch.created < since for batch in batches)
            if not batches or is_past or not told.get("has_more"):
                return found
            page = {"after_id": batches[-1].batch_id}

    def _get(self, request: Any, **words: Any) -> dict[str, Any]:
        try:
            return self._caller.json(request, **words)
        except (Refused, Unsure) as error:
            raise JudgeError(f"Anthropic does not say how its batches are: {error}\n  Give the same command again.") from None

    @contextlib.contextmanager
    def _results(self, batch_id: str) -> Iterator[Any]:
        """The reply with a batch's results as it comes; before version 1 the package has no `with_streaming_response` for it."""
        lines = self._client.messages.batches.results(batch_id)
        try:
            yield lines.http_response
        finally:
            lines.close()

    @property
    def _headers(self) -> dict[str, str]:
        return dict(_OLDER_VERSION) if self._own.sends_temperature else {}

    def _body(self, question: Question) -> tuple[dict[str, Any], dict[str, Any]]:
        """The request: what every version of the package knows as arguments, and the rest."""
        turns = [{"role": m.role, "content": m.text} for m in question.messages if m.role != "system"]
        system = "\n\n".join(m.text for m in question.messages if m.role == "system")
        known: dict[str, Any] = {"model": self._own.model, "max_tokens": question.max_tokens, "messages": turns}
        others: dict[str, Any] = {}
        if system:
            block = {"type": "text", "text": system, "cache_control": {"type": "ephemeral"}}
            others["system"] = [block] if self._own.caches_system else system
        if output := self._output(question):
            others["output_config"] = output
        if self._own.thinking is not None:
            others["thinking"] = {"type": self._own.thinking}
        if self._own.sends_temperature:
            others["temperature"] = question.temperature
        return known, others

    def _output(self, question: Question) -> dict[str, Any]:
        output: dict[str, Any] = {} if self._own.effort is None else {"effort": self._own.effort}
        if question.schema is not None:
            output["format"] = {"type": "json_schema", "schema": strict_schema(question.schema, without=BOUNDS)}
        return output


def _read_message(told: Any) -> Reply:
    """The reply in a message; what is missing or of another type is a failure, never an exception."""
    blocks = at(told, "content")
    parts = [at(block, "text") for block in blocks if at(block, "type") == "text"] if isinstance(blocks, list) else []
    text = "".join(part for part in parts if isinstance(part, str)) or None
    usage = at(told, "usage")
    n_input, n_output = number(at(usage, "input_tokens")), number(at(usage, "output_tokens"))
    return Reply(
        text=text,
        failure=_failure(at(told, "stop_reason"), text),
        input_tokens=n_input,
        cached_input_tokens=number(at(usage, "cache_read_input_tokens")),
        written_input_tokens=number(at(usage, "cache_creation_input_tokens")),
        output_tokens=n_output,
        # A reply that does not say what it cost is believed the worst of.
        may_be_charged=n_input + n_output == 0,
    )


def _failure(why: Any, text: str | None) -> str | None:
    if why == "refusal":
        return f"refused: {(text or 'without words')[:200]}"
    if why in ("max_tokens", "model_context_window_exceeded"):
        return "cut off at max_tokens" if why == "max_tokens" else "cut off: the model's context is full"
    return "no text came back" if text is None else None


def _read_result(result: Any) -> Reply:
    kind = at(result, "type")
    if kind == "succeeded":
        return _read_message(at(result, "message"))
    said = at(result, "error", "error", "message") or at(result, "error", "message")
    why = {
        "expired": "expired: the batch was not done within a day",
        "canceled": "cancelled with its batch",
        "errored": f"refused by the provider: {str(said)[:300]}",
    }
    return Reply(text=None, failure=why.get(str(kind), f"a result of an unknown kind: {json.dumps(kind)[:80]}"))


def _counts(batch: Any) -> dict[str, int]:
    kinds = ("processing", "succeeded", "errored", "canceled", "expired")
    return {kind: number(at(batch, "request_counts", kind)) for kind in kinds}


def _sent(batch: Any) -> SentBatch:
    created = at(batch, "created_at")
    try:
        seconds = datetime.fromisoformat(created).timestamp()
    except (TypeError, ValueError):
        seconds = time.time()  # of an unknown age: better looked at than passed by
    return SentBatch(_id_of(batch), seconds, sum(_counts(batch).values()), None)


def _id_of(batch: Any) -> str:
    found = identifier(batch)
    if found is None:
        raise JudgeError("Anthropic names no batch in its reply.\n  Give the same command again.")
    return found
