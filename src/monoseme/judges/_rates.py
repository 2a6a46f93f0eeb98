"""How fast questions may go out: so many requests, and so many tokens, in a minute."""

import time
from collections.abc import Callable

_SECONDS = 60.0


class Pace:
    """Says how long the next question must wait. The first ones go at once, as far as a tenth of a minute's allowance."""

    def __init__(
        self,
        *,
        requests_per_minute: float | None = None,
        tokens_per_minute: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock = clock
        self._buckets = [
            (amount_of, _Bucket(rate, clock()))
            for amount_of, rate in ((_one, requests_per_minute), (_tokens, tokens_per_minute))
            if rate is not None
        ]

    def wait(self, n_tokens: float) -> float:
        """Seconds until a question of so many tokens may go; 0.0 for now."""
        now = self._clock()
        return max((bucket.wait(amount_of(n_tokens), now) for amount_of, bucket in self._buckets), default=0.0)

    def sent(self, n_tokens: float) -> None:
        """A question of so many tokens has gone."""
        now = self._clock()
        for amount_of, bucket in self._buckets:
            bucket.take(amount_of(n_tokens), now)


class _Bucket:
    """An allowance that fills with time and is taken from; it holds a tenth of a minute's, and at least one."""

    def __init__(self, per_minute: float, now: float) -> None:
        self._per_second = per_minute / _SECONDS
        self._most = max(per_minute / 10, 1.0)
        self._held, self._then = self._most, now

    def wait(self, amount: float, now: float) -> float:
        lacking = min(amount, self._most) - self._level(now)  # what is larger than all goes when it is full
        return max(lacking, 0.0) / self._per_second

    def take(self, amount: float, now: float) -> None:
        self._held, self._then = self._level(now) - amount, now

    def _level(self, now: float) -> float:
        return min(self._held + (now - self._then) * self._per_second, self._most)


def _one(n_tokens: float) -> float:
    del n_tokens
    return 1.0


def _tokens(n_tokens: float) -> float:
    return n_tokens
