"""A server of language models for tests: speaks the protocols of Anthropic and OpenAI over real HTTP, and keeps the bill.

It answers messages, chat completions, token counts, batches and their files as the providers document them, asks for a key, keeps
rate limits, and gives whatever a test wants given: refusals, cut and hanging replies, errors, JSON that is none. No model is run:
`answer` is a function of the question. Everything that a provider would charge for is in `charges`, by the question's hash, so a
test can say that nothing was paid for twice.

    with JudgeServer(answer=lambda asked: "a fine answer") as server:
        judge = Anthropic(Anthropic.Config(model="claude-test", base_url=server.anthropic_url))

Its counts of tokens are a rule of its own (`_judge_wire.count`), the same for what it counts and what it charges.
"""

import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import ThreadingHTTPServer
from types import TracebackType
from typing import Literal, NamedTuple

from monoseme.testing import _judge_wire as wire
from monoseme.testing._judge_http import Handler, Outcome
from monoseme.testing._judge_wire import Asked, Given, Usage

__all__ = ["Asked", "Charge", "Given", "JudgeServer", "Limits", "example_of"]

example_of = wire.example_of
_CACHED_FROM = 256


class Charge(NamedTuple):
    """One question that was paid for."""

    asked: Asked
    usage: Usage
    in_batch: bool


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What the server takes in any 60 seconds; None: no limit."""

    requests: int | None = None
    tokens: int | None = None
    """Input tokens (count)."""
    retry_after: float = 60.0
    """Seconds that a refused client is told to wait."""


@dataclass
class _Batch:
    """A batch, answered when it came and shown when it has been looked at often enough."""

    batch_id: str
    protocol: Literal["anthropic", "openai"]
    created: float
    results: list[tuple[str, Outcome]]
    metadata: Mapping[str, str]
    n_looks_left: int
    files: dict[str, str] = field(default_factory=dict[str, str])


class JudgeServer:
    """A provider on a free port of this machine, as a context manager."""

    def __init__(
        self,
        answer: Callable[[Asked], Given | str] | None = None,
        *,
        key: str = "a-key-for-tests",
        limits: Limits | None = None,
        n_looks: int = 1,
        has_batches: bool = True,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`answer` gives the simplest text that fits the question's schema if left out. `n_looks`: how often a batch is
        still in progress when it is looked at; `has_batches` False is a compatible server, such as vLLM's, that has none."""
        self._settings = (answer or wire.simplest, key, limits or Limits(), n_looks, has_batches)
        self.reset()
        self._clock = clock
        self._lock = threading.RLock()
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        self._http.judge_server = self  # pyright: ignore[reportAttributeAccessIssue]
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)

    def reset(self) -> None:
        """As new: all is forgotten, and set as it was when the server was made."""
        self.answer, self.key, self.limits, self.n_looks, self.has_batches = self._settings
        self.charges: list[Charge] = []
        self.requests: list[tuple[str, str]] = []
        """Method and path of all that came, refused ones too."""
        self.most_at_once = 0
        """Questions that were in work together, at most (count)."""
        self.batches: dict[str, _Batch] = {}
        self.files: dict[str, bytes] = {}
        self._next: deque[Given] = deque()
        self._faults: list[tuple[str, Given, bool]] = []
        self._taken: deque[tuple[float, int]] = deque()
        self._seen_prefixes: set[str] = set()
        self._n_in_work = 0

    def __enter__(self) -> "JudgeServer":
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

    @property
    def anthropic_url(self) -> str:
        """What `base_url` is for Anthropic's client."""
        return f"http://127.0.0.1:{self._http.server_address[1]}"

    @property
    def openai_url(self) -> str:
        """What `base_url` is for OpenAI's client, and for compatible servers'."""
        return f"{self.anthropic_url}/v1"

    def then(self, *given: Given) -> None:
        """What the next requests are given, in turn, before `answer` is asked again; errors of the server among them."""
        with self._lock:
            self._next.extend(given)

    def then_at(self, path: str, given: Given, *, is_done: bool) -> None:
        """What the next request of a path (of batches, files or counts) is given. `is_done`: only after it was carried out,
        as where a batch is made and the reply is lost."""
        with self._lock:
            self._faults.append((path, given, is_done))

    def fault(self, path: str) -> tuple[Given, bool] | None:
        """What `then_at` laid down for a path, once; asked by the handler."""
        with self._lock:
            for i, (wanted, given, is_done) in enumerate(self._faults):
                if wanted == path:
                    del self._faults[i]
                    return given, is_done
        return None

    @property
    def times_charged(self) -> Counter[str]:
        """How often each question was paid for, by its hash."""
        with self._lock:
            return Counter(charge.asked.fingerprint for charge in self.charges)

    def cost(self, *, per_input: float, per_output: float, per_cached: float | None = None, batch_discount: float = 0.5) -> float:
        """All charges at prices per token, cached ones at `per_cached` (None: as other input)."""
        total = 0.0
        with self._lock:
            for charge in self.charges:
                cached = charge.usage.cached * (per_input if per_cached is None else per_cached)
                whole = (charge.usage.input + charge.usage.written * 1.25) * per_input + cached + charge.usage.output * per_output
                total += whole * (batch_discount if charge.in_batch else 1.0)
        return total

    # What follows is asked by the handler, from many threads.

    def outcome(self, asked: Asked, *, in_batch: bool) -> Outcome:
        """What this question is given and what it costs: nothing where it is an error, or expires."""
        with self._lock:
            given = self._next.popleft() if self._next and not in_batch else self.answer(asked)
            given = Given(text=given) if isinstance(given, str) else given
            usage = wire.usage(asked, given, written=self._cache(asked))
            if given.status == 200 and not (in_batch and given.is_expired):
                self.charges.append(Charge(asked, usage, in_batch))
        return Outcome(asked, given, usage)

    def refusal(self, n_tokens: int) -> Given | None:
        """An error 429 where this request would pass a limit; else the request is counted."""
        with self._lock:
            now = self._clock()
            while self._taken and self._taken[0][0] <= now - 60.0:
                self._taken.popleft()
            n_requests, n_before = len(self._taken), sum(taken for _, taken in self._taken)
            if _passes(n_requests + 1, self.limits.requests) or _passes(n_before + n_tokens, self.limits.tokens):
                return Given(status=429, headers={"retry-after": f"{self.limits.retry_after:g}"}, text="rate limit reached")
            self._taken.append((now, n_tokens))
            return None

    def note(self, method: str, path: str) -> None:
        """Writes a request down."""
        with self._lock:
            self.requests.append((method, path))

    def works(self, change: int) -> None:
        """Counts questions in work."""
        with self._lock:
            self._n_in_work += change
            self.most_at_once = max(self.most_at_once, self._n_in_work)

    def new_batch(
        self, protocol: Literal["anthropic", "openai"], questions: list[tuple[str, Asked]], metadata: Mapping[str, str]
    ) -> _Batch:
        """Answers and charges all questions of a batch at once."""
        results = [(name, self.outcome(asked, in_batch=True)) for name, asked in questions]
        with self._lock:
            batch_id = f"{'msgbatch' if protocol == 'anthropic' else 'batch'}_{len(self.batches):04d}"
            # Anthropic's order is not that of the requests.
            shown = results[::-1]
            batch = _Batch(batch_id, protocol, self._clock(), shown, metadata, self.n_looks)
            self.batches[batch_id] = batch
            return batch

    def look(self, batch_id: str) -> tuple[_Batch, bool] | None:
        """A batch, and whether it has ended; None if there is none."""
        with self._lock:
            batch = self.batches.get(batch_id)
            if batch is None:
                return None
            is_ended = batch.n_looks_left <= 0
            batch.n_looks_left -= 1
            return batch, is_ended

    def keep_file(self, content: bytes) -> str:
        """A new file's id."""
        with self._lock:
            file_id = f"file-{len(self.files):04d}"
            self.files[file_id] = content
            return file_id

    def _cache(self, asked: Asked) -> int:
        """Tokens of a marked prefix that are written to the cache now (0: not marked, or too short); read ones are negative."""
        n = wire.count(asked.marked) if asked.marked else 0
        if n < _CACHED_FROM:
            return 0
        if asked.marked in self._seen_prefixes:
            return -n
        self._seen_prefixes.add(asked.marked)
        return n


def _passes(count: int, limit: int | None) -> bool:
    return limit is not None and count > limit
