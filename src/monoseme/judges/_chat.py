"""Questions and replies in the protocol of OpenAI's chat completions, which vLLM, Ollama and OpenRouter speak too."""

from collections.abc import Mapping
from typing import Any

from monoseme.judges._base import Question, Reply, TokenChance
from monoseme.judges._reading import at, number, texts
from monoseme.judges._schema import strict_schema

_MOST_LOGPROBS = 20


def chat_messages(question: Question) -> list[dict[str, str]]:
    """The question's turns."""
    return [{"role": message.role, "content": message.text} for message in question.messages]


def json_format(question: Question) -> dict[str, Any]:
    """`response_format` for a question with an answer's type."""
    schema = strict_schema(question.schema or {})
    return {"type": "json_schema", "json_schema": {"name": "answer", "strict": True, "schema": schema}}


def chances_wanted(question: Question) -> dict[str, Any]:
    """The fields that ask for log-probabilities."""
    n = min(question.n_logprobs, _MOST_LOGPROBS)
    return {"logprobs": True, "top_logprobs": n} if n else {}


def read_chat(told: Mapping[str, Any]) -> Reply:
    """The reply in a chat completion; what is missing or of another type is a failure, never an exception."""
    choice = at(told, "choices", 0)
    text = at(choice, "message", "content")
    text = text if isinstance(text, str) else None
    usage = at(told, "usage")
    n_input, n_output = number(at(usage, "prompt_tokens")), number(at(usage, "completion_tokens"))
    # Those read from the cache and written to it are part of `prompt_tokens` in this protocol.
    cached = min(number(at(usage, "prompt_tokens_details", "cached_tokens")), n_input)
    written = min(number(at(usage, "prompt_tokens_details", "cache_write_tokens")), n_input - cached)
    return Reply(
        text=text,
        failure=_failure(choice, text),
        input_tokens=n_input - cached - written,
        cached_input_tokens=cached,
        written_input_tokens=written,
        output_tokens=n_output,
        tokens=_tokens(choice),
        # A server that does not say what it charged is believed the worst of.
        may_be_charged=n_input + n_output == 0,
    )


def _failure(choice: Any, text: str | None) -> str | None:
    refusal, why = at(choice, "message", "refusal"), at(choice, "finish_reason")
    if isinstance(refusal, str) and refusal:
        return f"refused: {refusal[:200]}"
    if why == "content_filter":
        return "refused: stopped by the provider's content filter"
    if why == "length":
        return "cut off at max_tokens"
    return "no text came back" if text is None else None


def _tokens(choice: Any) -> tuple[TokenChance, ...]:
    places = at(choice, "logprobs", "content")
    if not isinstance(places, list):
        return ()
    found: list[TokenChance] = []
    for place in places:
        likeliest = texts(at(place, "top_logprobs"), "token", "logprob") | texts([place], "token", "logprob")
        token = at(place, "token")
        if isinstance(token, str):
            found.append(TokenChance(token, likeliest))
    return tuple(found)
