"""What judges that speak chat completions have in common: the client and one question."""

from abc import abstractmethod
from typing import Any

from monoseme.judges._base import Question, Reply
from monoseme.judges._calling import Caller, RemoteConfig, RemoteJudge, import_sdk, new_client
from monoseme.judges._chat import read_chat

_HOME = "https://api.openai.com/v1"


class RemoteChat(RemoteJudge):
    """Asks by chat completions."""

    def __init__(self, config: RemoteConfig, *, key_variable: str | None) -> None:
        """Raises ExtraMissingError without the package, ConfigError without a model."""
        super().__init__(config, key_variable=key_variable)
        sdk = import_sdk("openai")
        # The package refuses an empty key; servers without keys do not read it.
        self._client = new_client(sdk, "OpenAI", config, key=self._key or "none", home=_HOME)
        self._caller = Caller(sdk, config, key=self._key, missing_key=self.missing_key)

    def _ask(self, question: Question) -> Reply:
        body = self._body(question)
        known = {name: body.pop(name) for name in ("model", "messages")}
        return read_chat(
            self._caller.json(self._client.chat.completions.with_streaming_response.create, **known, extra_body=body)
        )

    @abstractmethod
    def _body(self, question: Question) -> dict[str, Any]:
        """The request."""
