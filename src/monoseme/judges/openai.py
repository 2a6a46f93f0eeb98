"""OpenAI's models by chat completions, one by one or as batches for half the price.

Structured answers by `response_format` with a strict JSON schema. For other servers that speak the protocol but know no
batches (vLLM, Ollama, OpenRouter) there is the judge `compatible`. Source: OpenAI's API reference (Chat, Batch, Files, input
token counts).
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from monoseme.core.errors import JudgeError
from monoseme.judges._base import BatchJudge, BatchState, Question, Reply, SentBatch
from monoseme.judges._calling import Refused, RemoteConfig, Unsure
from monoseme.judges._chat import chances_wanted, chat_messages, json_format, read_chat
from monoseme.judges._reading import at, identifier, number
from monoseme.judges._remote_chat import RemoteChat

_PATH = "/v1/chat/completions"
_ENDED = ("completed", "failed", "expired", "cancelled")
_MOST_FILE_BYTES = 200 * 10**6
_PAGE = 100


class OpenAI(RemoteChat, BatchJudge):
    """A model of OpenAI's."""

    # The provider takes 50,000 in a batch, but of 200 MB in all: so many may each have 20 kB.
    most_in_batch: ClassVar[int] = 10_000
    batch_discount: ClassVar[float] = 0.5

    @dataclass(frozen=True, kw_only=True)
    class Config(RemoteConfig):
        """A model of OpenAI's, such as gpt-5.4-mini."""

        key_variable: str = "OPENAI_API_KEY"
        """Environment variable that holds the key."""
        sends_temperature: bool = False
        """Send each question's temperature: only for models that do not reason, others refuse it."""
        reasoning_effort: Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"] | None = None
        """How long the model reasons before it answers, which is charged as output and counts towards max_tokens.
        None: as the model does by itself."""

    def __init__(self, config: Config) -> None:
        """Raises ExtraMissingError without the package, ConfigError without a model."""
        super().__init__(config, key_variable=config.key_variable)
        self._own = config

    def count_tokens(self, question: Question) -> int | None:
        """As the provider's own count says, which is free; None at a server that has no such count, and without a key."""
        if self.missing_key is not None:
            return None
        words: dict[str, Any] = {"model": self._own.model, "input": chat_messages(question)}
        if question.schema is not None:
            told_format = json_format(question)
            words["text"] = {"format": {"type": "json_schema", **told_format["json_schema"]}}
        try:
            told = self._caller.json(self._client.responses.input_tokens.with_streaming_response.count, **words)
        except (Refused, Unsure):
            return None
        return number(told.get("input_tokens")) or None

    def send(self, questions: Mapping[str, Question], *, mark: str) -> str:
        """Uploads the questions and makes a batch of them, whose metadata keep the mark.

        Raises JudgeError, also where it is not known whether the batch was made.
        """
        rows = [{"custom_id": n, "method": "POST", "url": _PATH, "body": self._body(q)} for n, q in questions.items()]
        content = "".join(json.dumps(row) + "\n" for row in rows).encode()
        if len(content) > _MOST_FILE_BYTES:
            raise JudgeError(
                f"{len(rows):,} questions have {len(content):,} bytes: a batch holds {_MOST_FILE_BYTES:,}. Ask fewer."
            )
        uploaded = self._told(self._client.files, "create", file=(f"{mark}.jsonl", content), purpose="batch")
        try:
            told = self._caller.json(
                self._client.batches.with_streaming_response.create,
                again=False,
                input_file_id=_id_of(uploaded),
                endpoint=_PATH,
                completion_window="24h",
                metadata={"mark": mark},
            )
        except Refused as refused:
            raise JudgeError(f"OpenAI takes no such batch: {refused}") from None
        except Unsure as unsure:
            raise JudgeError(
                f"it is not known whether batch {mark} was made: {unsure}\n  The same command finds it if it was."
            ) from None
        return _id_of(told)

    def look(self, batch_id: str) -> BatchState:
        """How far it is. Raises JudgeError where it is not known."""
        told = self._told(self._client.batches, "retrieve", batch_id=batch_id)
        counts = at(told, "request_counts")
        n_done = number(at(counts, "completed")) + number(at(counts, "failed"))
        return BatchState(told.get("status") in _ENDED, n_done, number(at(counts, "total")))

    def collect(self, batch_id: str) -> Iterator[tuple[str, Reply]]:
        """Replies of an ended batch, from its file of answers and its file of errors.

        Raises JudgeError where they break off: they can be collected again, for nothing.
        """
        batch = self._told(self._client.batches, "retrieve", batch_id=batch_id)
        if batch.get("status") == "failed":
            # Refused as a whole, so that it has no results: the questions are known from what was sent.
            said = at(batch, "errors", "data", 0, "message")
            why = f"the provider refused the whole batch: {str(said)[:300]}"
            yield from ((name, Reply(text=None, failure=why)) for name, _ in self._lines(batch.get("input_file_id")))
            return
        for file_id in (batch.get("output_file_id"), batch.get("error_file_id")):
            yield from ((name, _read_result(line)) for name, line in self._lines(file_id))

    def recent(self, since: float) -> Sequence[SentBatch]:
        """Batches of this key's project, newest first."""
        found: list[SentBatch] = []
        page: dict[str, Any] = {}
        while True:
            told = self._told(self._client.batches, "list", limit=_PAGE, **page)
            batches = [_sent(batch) for batch in told.get("data") or []]
            # Its times are whole seconds, rounded down.
            found += [batch for batch in batches if batch.created >= since - 1.0]
            is_past = any(batch.created < since - 1.0 for batch in batches)
            if not batches or is_past or not told.get("has_more"):
                return found
            page = {"after": batches[-1].batch_id}

    def _body(self, question: Question) -> dict[str, Any]:
        body: dict[str, Any] = {"model": self._own.model, "messages": chat_messages(question)}
        body["max_completion_tokens"] = question.max_tokens
        if question.schema is not None:
            body["response_format"] = json_format(question)
        if self._own.reasoning_effort is not None:
            body["reasoning_effort"] = self._own.reasoning_effort
        if self._own.sends_temperature:
            body["temperature"] = question.temperature
        return body | chances_wanted(question)

    def _told(self, part: Any, method: str, **words: Any) -> dict[str, Any]:
        try:
            return self._caller.json(getattr(part.with_streaming_response, method), **words)
        except (Refused, Unsure) as error:
            raise JudgeError(f"batches: {error}\n  Give the same command again.") from None

    def _lines(self, file_id: Any) -> Iterator[tuple[str, dict[str, Any]]]:
        """Ids of questions with the lines of a file; none where there is no file."""
        if not isinstance(file_id, str):
            return
        try:
            for line in self._caller.lines(self._client.files.with_streaming_response.content, file_id=file_id):
                if isinstance(line.get("custom_id"), str):
                    yield line["custom_id"], line
        except (Refused, Unsure) as error:
            raise JudgeError(f"the file {file_id} cannot be read: {error}\n  Give the same command again.") from None


def _read_result(line: Mapping[str, Any]) -> Reply:
    if at(line, "response", "status_code") == 200:
        return read_chat(at(line, "response", "body") or {})
    code = at(line, "error", "code")
    if code == "batch_expired":
        return Reply(text=None, failure="expired: the batch was not done within a day")
    if code == "batch_cancelled":
        return Reply(text=None, failure="cancelled with its batch")
    said = at(line, "response", "body", "error", "message") or at(line, "error", "message")
    return Reply(text=None, failure=f"refused by the provider: {str(said)[:300]}")


def _sent(batch: Any) -> SentBatch:
    mark = at(batch, "metadata", "mark")
    n_questions = number(at(batch, "request_counts", "total"))
    return SentBatch(_id_of(batch), float(number(at(batch, "created_at"))), n_questions, mark if isinstance(mark, str) else None)


def _id_of(told: Any) -> str:
    found = identifier(told)
    if found is None:
        raise JudgeError("the provider names no batch or file in its reply.\n  Give the same command again.")
    return found
