"""Asking question by question, several at a time: the answers in the order of the questions, each written down when it comes."""

import time
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from monoseme.core.display import get_display
from monoseme.core.errors import Interrupted, JudgeError
from monoseme.core.interrupt import StopWish, stop_wish
from monoseme.judges._base import Question, Reply
from monoseme.judges._rates import Pace
from monoseme.judges._size import n_bytes
from monoseme.judges._till import Till, Told
from monoseme.judges._workers import Workers

_LOOK_SECONDS = 0.2
"""How long a wish to stop may go unseen."""
_AHEAD = 4
"""Questions read ahead of the one that is waited for, for each that may be on its way."""
_BYTES_PER_TOKEN = 4
"""For rates alone."""


@dataclass
class _Slot:
    """A question on its way from the list to its reply."""

    key: str
    question: Question
    reply: Reply | None = None
    is_kept: bool = False
    mark: str | None = None


class Direct:
    """One pass over questions."""

    def __init__(self, till: Till, questions: Iterable[Question]) -> None:
        self._till = till
        self._source = iter(questions)
        self._waiting: deque[tuple[Question, _Slot]] = deque()
        self._unsent: deque[_Slot] = deque()
        self._live: dict[str, _Slot] = {}
        rates = till.settings
        self._pace = Pace(requests_per_minute=rates.requests_per_minute, tokens_per_minute=rates.tokens_per_minute)
        self._workers: Workers[_Slot, Reply] | None = None
        self._has_answered = False

    def told(self) -> Iterator[Told]:
        """In the order of the questions. Raises BudgetError, JudgeError, Interrupted, whatever reading questions raises."""
        try:
            while self._read_ahead():
                question, head = self._waiting[0]
                if head.reply is None:
                    with stop_wish() as wish:
                        self._wait_for(head, wish)
                self._waiting.popleft()
                reply, is_kept = _reply_of(head), head.is_kept
                head.is_kept = True  # for an equal question that waits behind it
                if self._live.get(head.key) is head:
                    del self._live[head.key]
                yield Told(question, reply, is_kept)
        finally:
            self._finish()

    def _read_ahead(self) -> bool:
        """Fills the window; a question that is answered, or on its way already, is not sent. False when all are told."""
        while len(self._waiting) < _AHEAD * self._till.settings.concurrency:
            question = next(self._source, None)
            if question is None:
                break
            key = self._till.key(question)
            slot = self._live.get(key)
            if slot is None:
                kept = self._till.kept(key, question)
                slot = self._live[key] = _Slot(key, question, kept, is_kept=kept is not None)
                if kept is None:
                    self._unsent.append(slot)
            self._waiting.append((question, slot))
        return bool(self._waiting)

    def _wait_for(self, head: _Slot, wish: StopWish) -> None:
        """Sends what may be sent and takes what comes until the first question is answered."""
        while head.reply is None or wish.asked:
            if wish.asked:
                if self._n_out:
                    get_display().say("waiting for answers that are on their way; once more, and they are lost")
                self._finish()
                raise Interrupted("stopped while asking.\n  What was answered is kept: the same command goes on from here.")
            seconds = self._send()
            self._take(seconds)

    def _send(self) -> float:
        """Sends as many as rates, threads and budget let out; the seconds to wait for the next thing to happen.

        Raises BudgetError where nothing is on its way that could cost less than it might, and the next question does not fit.
        """
        while self._unsent and self._n_out < self._most_out:
            slot = self._unsent[0]
            n_tokens = n_bytes(slot.question) / _BYTES_PER_TOKEN
            seconds = self._pace.wait(n_tokens)
            if seconds > 0.0:
                return min(seconds, _LOOK_SECONDS)
            most = self._till.most(slot.question, is_batch=False)
            left = self._till.left()
            if left is not None and most is not None and most > left:
                if self._n_out == 0:
                    raise self._till.too_dear(most)
                break
            self._pace.sent(n_tokens)
            self._give(self._unsent.popleft(), most)
        return _LOOK_SECONDS

    def _give(self, slot: _Slot, most: float | None) -> None:
        if not self._till.is_free:
            slot.mark = self._till.open([slot.key], most=most, is_batch=False)
        if self._workers is None:
            self._workers = Workers(self._till.settings.concurrency, self._ask)
        self._workers.give(slot)

    def _ask(self, slot: _Slot) -> Reply:
        """In a thread: one question, its answer written down before anybody waits for it."""
        try:
            reply = self._till.judge.answer(slot.question)
        except JudgeError:
            if slot.mark is not None:
                self._till.close(slot.mark)  # nothing was charged, by the contract of judges
            raise
        return self._till.take_one(slot.key, slot.question, reply, mark=slot.mark)

    def _take(self, seconds: float) -> None:
        """Waits for one reply. Raises what asking raised, when all others on their way are written down."""
        done = None if self._workers is None else self._workers.take(seconds)
        if done is None:
            if self._workers is None:
                time.sleep(seconds)
            return
        if done.error is not None:
            self._finish()
            raise self._till.safe(done.error)
        done.job.reply = done.result
        self._has_answered = True

    def _finish(self) -> None:
        """Waits for what is on its way, since it is paid for, and lets the threads go."""
        workers, self._workers = self._workers, None
        if workers is None:
            return
        workers.end()
        while workers.n_out:
            workers.take(_LOOK_SECONDS)

    @property
    def _n_out(self) -> int:
        return 0 if self._workers is None else self._workers.n_out

    @property
    def _most_out(self) -> int:
        """The first question goes alone: a wrong key or model is found out by one."""
        return self._till.settings.concurrency if self._has_answered else 1


def _reply_of(slot: _Slot) -> Reply:
    assert slot.reply is not None
    return slot.reply
