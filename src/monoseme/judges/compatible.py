"""Any server that speaks OpenAI's chat completions and has no batches: vLLM, Ollama, OpenRouter, llama.cpp.

Sends the fields that all of them know (`max_tokens`, `temperature`). Where a server cannot hold a model to a JSON schema, the
schema is told in words; answers are checked all the same.
"""

from dataclasses import dataclass
from typing import Any, Literal

from monoseme.core.errors import ConfigError
from monoseme.judges._base import Question
from monoseme.judges._calling import RemoteConfig
from monoseme.judges._chat import chances_wanted, chat_messages, json_format
from monoseme.judges._remote_chat import RemoteChat
from monoseme.judges._schema import told_schema


class Compatible(RemoteChat):
    """A model behind a server of the user's choice."""

    @dataclass(frozen=True, kw_only=True)
    class Config(RemoteConfig):
        """A server by its address, such as http://localhost:8000/v1 (vLLM), http://localhost:11434/v1 (Ollama) or
        https://openrouter.ai/api/v1, and a model by the server's name for it."""

        key_variable: str | None = None
        """Environment variable that holds the key, such as OPENROUTER_API_KEY. None: the server asks for none."""
        structure: Literal["json_schema", "json_object", "words"] = "json_schema"
        """How an answer is held to its form: to a schema; to being JSON, with the schema told in words; in words alone."""
        is_free: bool = False
        """Whether asking costs nothing, as on a machine of one's own; else the model's price must be known for a budget."""

    def __init__(self, config: Config) -> None:
        """Raises ExtraMissingError without the package, ConfigError without a model or an address."""
        if config.base_url is None:
            raise ConfigError(
                "the judge compatible needs the server's address.\n  For vLLM:  --judge.base_url http://localhost:8000/v1"
            )
        super().__init__(config, key_variable=config.key_variable)
        self._own = config

    @property
    def price_name(self) -> str | None:
        """The model's name; None where asking costs nothing."""
        return None if self._own.is_free else self._own.model

    def count_tokens(self, question: Question) -> int | None:  # noqa: ARG002 - the contract's
        """None: such servers have no common way to say."""
        return None

    def _body(self, question: Question) -> dict[str, Any]:
        messages = chat_messages(question)
        form: dict[str, Any] = {}
        if question.schema is not None:
            if self._own.structure != "json_schema":
                messages = [{"role": message.role, "content": message.text} for message in told_schema(question)]
            if self._own.structure != "words":
                is_schema = self._own.structure == "json_schema"
                form = {"response_format": json_format(question) if is_schema else {"type": "json_object"}}
        body = {"model": self._own.model, "messages": messages, "max_tokens": question.max_tokens}
        return {**body, "temperature": question.temperature, **form, **chances_wanted(question)}
