"""How judges call providers: keys from the environment, one client without proxies to this machine, retries, errors without keys.

The providers' packages are alike (one generator wrote both), and so this file serves both: `sdk` is the module `anthropic` or
`openai`. Their own retries are off: they would ask again after a time-out, when the first question may have been charged.
"""

import contextlib
import email.utils
import importlib
import ipaddress
import json
import math
import os
import random
import time
import weakref
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from types import ModuleType
from typing import Any
from urllib.parse import urlsplit

from monoseme.core.errors import ConfigError, ExtraMissingError, JudgeError
from monoseme.judges._base import Judge, Question, Reply
from monoseme.judges._reading import at
from monoseme.judges._size import most_input_tokens

_MOST_BYTES = 32 * 2**20
_LONGEST_WAIT = 120.0
_FATAL = (401, 402, 403, 404)
_NOT_TAKEN = (408, 409, 425, 429, 529)
_OWN_FAILURES = (500, 503)
"""Failures of a provider itself, which it does not charge; a gateway's (502, 504) may hide an answer that was."""
_MOVES_NOTHING = ("timeout_seconds", "n_tries", "key_variable", "is_free", "caches_system")
_HOPELESS = ("insufficient_quota", "billing_not_active", "billing_error", "unsupported_parameter", "unsupported_value")


class Refused(Exception):
    """The provider will not answer this one question."""


class Unsure(Exception):
    """A question went out and no whole answer came back: it may have been charged."""


@dataclass(frozen=True, kw_only=True)
class RemoteConfig(Judge.Config):
    """What judges behind HTTP have in common."""

    base_url: str | None = None
    """Where the provider's interface is, such as http://localhost:8000/v1; None: the provider's own address."""
    timeout_seconds: float = 600.0
    """How long one reply may take (seconds); reasoning models take minutes."""
    n_tries: int = 6
    """Times that a question is sent where the provider is busy or fails (count, at least 1)."""

    def __post_init__(self) -> None:
        """Raises ConfigError for an address with a password, and for numbers out of range."""
        if self.n_tries < 1 or self.timeout_seconds <= 0:
            raise ConfigError(
                f"n_tries is {self.n_tries} and timeout_seconds {self.timeout_seconds}: give 1 or more, and above 0"
            )
        if self.base_url is not None:
            _check_address(self.base_url)


class RemoteJudge(Judge):
    """What judges behind HTTP have in common; `_ask` is theirs."""

    config: RemoteConfig

    def __init__(self, config: RemoteConfig, *, key_variable: str | None) -> None:
        """`key_variable` is the environment variable of the key; None: it has none. Raises ConfigError without a model."""
        super().__init__(config)
        if not config.model:
            raise ConfigError("a judge needs a model.\n  Name one with:  --judge.model NAME")
        self._key = "" if key_variable is None else os.environ.get(key_variable, "").strip()
        self._missing_key = None if self._key else key_variable

    @property
    def missing_key(self) -> str | None:
        """Its key's variable, where that was empty when the judge was made."""
        return self._missing_key

    @property
    def identity(self) -> dict[str, Any]:
        """As of every judge, without what moves no answer: patience, keys and money."""
        return {name: value for name, value in super().identity.items() if name not in _MOVES_NOTHING}

    def answer(self, question: Question) -> Reply:
        """One answer. Raises JudgeError where all questions would fail."""
        try:
            reply = self._ask(question)
        except Refused as refused:
            return Reply(text=None, failure=f"refused by the provider: {refused}")
        except Unsure as unsure:
            return Reply(text=None, failure=f"no answer that can be read: {unsure}", may_be_charged=True)
        return _at_most(reply, question) if reply.failure is None and reply.may_be_charged else reply

    @abstractmethod
    def _ask(self, question: Question) -> Reply:
        """One reply. Raises Refused, Unsure and JudgeError, as `Caller.json` does."""


def _at_most(reply: Reply, question: Question) -> Reply:
    """A good reply of a server that does not say what it charged, with the most that it can be: else it could not be kept."""
    n_input, n_output = most_input_tokens(question), question.max_tokens
    return replace(reply, input_tokens=n_input, output_tokens=n_output, may_be_charged=False)


def _check_address(base_url: str) -> None:
    """Raises ConfigError for what is no address, or would carry a secret into a config."""
    parts = urlsplit(base_url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigError("base_url is no address of a server: it begins with http:// or https://")
    if parts.username or parts.password or parts.query:
        # The address itself is not repeated: it holds a secret.
        raise ConfigError(
            "base_url holds a user name, a password or a query: keys come from the environment, never from a config"
        )


def require_key(judge: Judge) -> None:
    """Raises ConfigError where a judge's key is not in the environment."""
    if judge.missing_key is not None:
        raise _no_key(judge.missing_key)


def _no_key(variable: str) -> ConfigError:
    return ConfigError(
        f"the environment variable {variable} holds no key.\n  Set it with:  export {variable}=...\n"
        "  What asking would cost is told without one:  --dry-run"
    )


def import_sdk(name: str) -> ModuleType:
    """The provider's package. Raises ExtraMissingError."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise ExtraMissingError(f"the judge {name}", extra="judges") from error


def new_client(sdk: ModuleType, client_class: str, config: RemoteConfig, *, key: str, home: str) -> Any:
    """A client that follows no redirects: they would carry the key elsewhere. `home` is the provider's own address."""
    # Not the package's own default client, which takes proxies from the environment for this machine too.
    http = _transport(sdk).Client(
        trust_env=not _is_this_machine(config.base_url), follow_redirects=False, timeout=config.timeout_seconds
    )
    client = getattr(sdk, client_class)(
        api_key=key,
        base_url=config.base_url or home,
        timeout=config.timeout_seconds,
        max_retries=0,
        http_client=http,
    )
    weakref.finalize(client, http.close)
    return client


def _transport(sdk: ModuleType) -> ModuleType:
    """What the package sends requests with: httpx in older versions, its successor in newer ones."""
    origins = (kind.__module__.partition(".")[0] for kind in sdk.DefaultHttpxClient.__mro__)
    return importlib.import_module(next(origin for origin in origins if origin.startswith("httpx")))


def _is_this_machine(base_url: str | None) -> bool:
    host = urlsplit(base_url or "").hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class Caller:
    """Calls one provider's interface. A `request` gives, as a context, a reply to be read (`.with_streaming_response`)."""

    def __init__(
        self,
        sdk: ModuleType,
        config: RemoteConfig,
        *,
        key: str,
        missing_key: str | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """`missing_key` is the variable that should hold the key and does not: then nothing can be asked."""
        self._sdk = sdk
        self._config = config
        self._key = key
        self._missing_key = missing_key
        self._sleep = sleep
        self._broken: type[Exception] = _transport(sdk).TransportError

    def json(self, request: Callable[..., Any], /, *, again: bool = True, **body: Any) -> dict[str, Any]:
        """The reply as a JSON object.

        `again` False: a request that the provider may have carried out is not repeated. Raises JudgeError where all questions
        would fail, Refused where this one does, Unsure where it may have been charged and no answer is there.
        """
        parts = self._parts(request, body, again=again, most=_MOST_BYTES)
        content = self.scrub(b"".join(parts).decode("utf-8", errors="replace"))
        try:
            told = json.loads(content)
        except (ValueError, RecursionError):
            told = None
        if not isinstance(told, dict):
            raise Unsure(f"the reply is no JSON object: {content[:80]!r}")
        return told

    def lines(self, request: Callable[..., Any], /, **body: Any) -> Iterator[dict[str, Any]]:
        """The JSON objects in the lines of a reply of any length; lines that hold none are left out. Raises as `json` does."""
        rest = b""
        for part in self._parts(request, body):
            # Only here: a line may hold other characters at which text is split.
            *whole, rest = (rest + part).split(b"\n")
            if len(rest) > _MOST_BYTES:
                raise Unsure(f"a line of the reply is longer than {_MOST_BYTES:,} bytes")
            yield from filter(None, map(self._line, whole))
        if found := self._line(rest):
            yield found

    def _line(self, line: bytes) -> dict[str, Any] | None:
        try:
            told = json.loads(self.scrub(line.decode("utf-8", errors="replace")))
        except (ValueError, RecursionError):
            return None
        return told if isinstance(told, dict) else None

    def scrub(self, text: str) -> str:
        """The text without the key."""
        return text.replace(self._key, "[key]") if self._key else text

    def _parts(
        self, request: Callable[..., Any], body: Mapping[str, Any], *, again: bool = True, most: int | None = None
    ) -> Iterator[bytes]:
        """The reply's body as it comes, after as many tries as it takes for it to begin.

        With `most` bytes, it must also be whole within the time allowed, however slowly it drips.
        """
        if self._missing_key is not None:
            raise _no_key(self._missing_key)
        try:
            with contextlib.ExitStack() as stack:
                response = self._begun(lambda: stack.enter_context(request(**body)), again=again)
                end, n_read = time.monotonic() + self._config.timeout_seconds, 0
                for part in response.iter_bytes():
                    n_read += len(part)
                    if most is not None and n_read > most:
                        raise Unsure(f"the reply is longer than {most:,} bytes")
                    if most is not None and time.monotonic() > end:
                        raise Unsure(f"no whole reply in {self._config.timeout_seconds:g} seconds")
                    yield part
        except self._broken as error:
            raise Unsure(f"the reply broke off: {type(error).__name__}") from None

    def _begun(self, request: Callable[[], Any], *, again: bool) -> Any:
        """A reply that has begun well. Raises as `json` does."""
        n_left = self._config.n_tries
        while True:
            n_left -= 1
            try:
                return request()
            except self._sdk.APITimeoutError as error:
                seconds = self._after_lost(error, n_left)
            except self._sdk.APIConnectionError as error:
                seconds = self._after_lost(error, n_left)
            except self._sdk.APIStatusError as error:
                seconds = self._after_status(error, n_left, again=again)
            self._sleep(seconds)

    def _after_lost(self, error: Exception, n_left: int) -> float:
        """Seconds to wait after a connection that could not be made. Raises Unsure where the question may have arrived."""
        kind = type(error.__cause__).__name__
        if kind not in ("ConnectError", "ConnectTimeout", "PoolTimeout"):
            raise Unsure(
                f"no reply in {self._config.timeout_seconds:g} seconds" if "Timeout" in kind else f"cut off: {kind}"
            ) from None
        if n_left == 0:
            why = self.scrub(str(error.__cause__))[:200]
            raise JudgeError(f"{self._where} cannot be reached: {why}\n  Is the server up, and is base_url right?") from None
        return self._wait(None, n_left)

    def _after_status(self, error: Any, n_left: int, *, again: bool) -> float:
        """Seconds to wait after an error that may pass; raises for others."""
        status, said = error.status_code, self._said(error)
        if status in _FATAL or _is_hopeless(error):
            raise JudgeError(f"{self._where} refuses ({status}): {said}\n  {_advice(status)}") from None
        if not (status in _NOT_TAKEN or (again and status in _OWN_FAILURES)):
            raise (Unsure if status >= 500 else Refused)(f"{status}: {said}") from None
        if n_left == 0:
            raise JudgeError(
                f"{self._where} still fails after {self._config.n_tries} tries ({status}): {said}\n"
                "  Nothing that was answered is lost: the same command goes on from here."
            ) from None
        return self._wait(error.response.headers, n_left)

    @property
    def _where(self) -> str:
        return self._config.base_url or f"the interface of {self._sdk.__name__}"

    def _wait(self, headers: Any, n_left: int) -> float:
        """As told, or twice as long each time with some chance in it, so that threads do not come back at once."""
        told = _told_wait(headers)
        if told is not None:
            return min(told, _LONGEST_WAIT)
        tried = self._config.n_tries - 1 - n_left
        return min(0.5 * 2.0**tried, 30.0) * random.uniform(0.75, 1.0)

    def _said(self, error: Any) -> str:
        """What the provider says of an error, short, in one line and without the key."""
        said = at(error.body, "error", "message") or at(error.body, "message")
        return " ".join(self.scrub(said if isinstance(said, str) else str(error)).split())[:300]


def _is_hopeless(error: Any) -> bool:
    """Whether an error says that no question will be answered: no credit, or a setting that this model does not take."""
    told = at(error.body, "error") or error.body
    said = at(told, "message")
    is_setting = isinstance(said, str) and ("credit balance" in said or said.startswith("temperature"))
    return is_setting or any(at(told, name) in _HOPELESS for name in ("code", "type"))


def _told_wait(headers: Any) -> float | None:
    """Seconds that `Retry-After` asks for, as a number or a date; None without it."""
    told = None if headers is None else headers.get("retry-after")
    if told is None:
        return None
    try:
        seconds = float(told)
    except ValueError:
        when = email.utils.parsedate_tz(told)
        return None if when is None else max(email.utils.mktime_tz(when) - time.time(), 0.0)
    return max(seconds, 0.0) if math.isfinite(seconds) else None


def _advice(status: int) -> str:
    return {
        401: "Is the right key in the environment?",
        402: "Is there credit left?",
        403: "May this key use this model?",
        404: "Is there a model of this name, and is base_url right?",
    }.get(status, "Mend the setting that it names, or the account, and give the same command again.")
