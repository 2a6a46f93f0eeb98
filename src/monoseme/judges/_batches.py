"""Asking in batches: sent, waited for and collected, with a kill allowed between any two of these.

A batch is written down before it is sent, under a mark that the provider is given too. One whose sending was cut off is looked
for among the provider's recent batches: by its mark, or, where the provider keeps none, by the content hashes of its questions,
which are their ids. So no question is sent a second time while a first answer may come.
"""

import secrets
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence

from monoseme.core.display import Progress, counted, get_display
from monoseme.core.errors import BudgetError, Interrupted, JudgeError
from monoseme.core.interrupt import StopWish, stop_wish
from monoseme.judges._base import BatchJudge, Question, Reply
from monoseme.judges._ledger import Intent
from monoseme.judges._size import n_bytes
from monoseme.judges._till import Till, Told, is_kept

_MOST_BYTES = 64 * 2**20
"""Of one batch, well below what providers take (Anthropic 256 MB, OpenAI 200 MB)."""
_CLOCKS_SECONDS = 600.0
"""How far the provider's clock may be behind ours."""
_LOOK_SECONDS = 0.2
_HASH = "sha256:"
_AT_A_TIME = 256
"""Replies written to the ledger in one go (count)."""


class Batches:
    """The batches of one judge in a folder: those on their way, and new ones."""

    def __init__(self, till: Till, judge: BatchJudge) -> None:
        self._till = till
        self._judge = judge
        self._failed: dict[str, Reply] = {}
        """Replies of this pass that cost nothing and are not kept, by key: questions that expired."""

    def told(self, questions: Sequence[Question]) -> Iterator[Told]:
        """All questions with their replies, in order, when the last batch is in. Raises BudgetError, JudgeError, Interrupted.

        Where the budget does not reach for all, what it did reach for is told before BudgetError is raised.
        """
        keyed = [(self._till.key(question), question) for question in questions]
        wanted = dict(keyed)
        before = {key for key, question in wanted.items() if self._till.kept(key, question) is not None}
        stuck: BudgetError | None = None
        with stop_wish() as wish:
            try:
                self._ask(wanted, wish)
            except BudgetError as error:
                stuck = error
        told = before
        for key, question in keyed:
            reply = self._failed.get(key) or self._till.kept(key, question)
            if reply is None:
                raise stuck or JudgeError("an answer that was written down is gone from the ledger")
            yield Told(question, reply, key in told)
            told.add(key)

    def collect_open(self, questions: Mapping[str, Question], wish: StopWish) -> None:
        """Collects batches of earlier commands: waits for those with any of these questions, takes others if they are done."""
        self._find_lost(questions, wish)
        for intent in self._till.batches():
            is_other = intent.batch_id is not None and questions.keys().isdisjoint(intent.keys)
            if is_other and self._judge.look(intent.batch_id or "").is_ended:
                self._collect(intent, questions)
        self._wait(questions, wish, until_none=True)

    def _ask(self, wanted: Mapping[str, Question], wish: StopWish) -> None:
        self.collect_open(wanted, wish)
        todo = [key for key, question in wanted.items() if key not in self._failed and self._till.kept(key, question) is None]
        while todo or self._ours(wanted):
            while todo and (part := self._part(todo, wanted)):
                self._stop_if(wish)
                self._send(part, wanted)
                todo = todo[len(part) :]
            if todo and not self._ours(wanted):
                raise self._till.too_dear(self._till.most(wanted[todo[0]], is_batch=True) or 0.0)
            self._wait(wanted, wish, until_none=not todo)

    def _part(self, todo: Sequence[str], wanted: Mapping[str, Question]) -> list[str]:
        """The first questions to be sent, as many as one batch and the budget take."""
        part: list[str] = []
        left, room = self._till.left(), _MOST_BYTES
        for key in todo[: self._judge.most_in_batch]:
            room -= n_bytes(wanted[key])
            most = self._till.most(wanted[key], is_batch=True)
            if left is not None and most is not None:
                left -= most
                if left < 0.0:
                    break
            if room < 0 and part:
                break
            part.append(key)
        return part

    def _send(self, keys: Sequence[str], wanted: Mapping[str, Question]) -> None:
        """Sends one batch. Where this raises, or is killed, the intent is open and `_find_lost` settles it."""
        costs = [self._till.most(wanted[key], is_batch=True) for key in keys]
        most = None if any(cost is None for cost in costs) else sum(cost or 0.0 for cost in costs)
        mark = self._till.open(keys, most=most, is_batch=True, mark=f"monoseme-{secrets.token_hex(8)}")
        batch_id = self._judge.send({_id_of(key): wanted[key] for key in keys}, mark=mark)
        self._till.sent(mark, batch_id)
        get_display().say(
            f"sent {counted(len(keys), 'questions')} as the batch {batch_id}; the same command collects it if this one ends"
        )

    def _find_lost(self, wanted: Mapping[str, Question], wish: StopWish) -> None:
        """Finds the batches whose sending was cut off, or closes them where the provider knows of none."""
        for intent in [intent for intent in self._till.batches() if intent.batch_id is None]:
            while not self._found(intent, wanted, wish):
                age = time.time() - intent.at
                if age >= self._till.settings.settle_seconds:
                    self._till.close(intent.mark)  # it never arrived
                    break
                self._sleep(min(self._till.settings.settle_seconds - age, self._till.settings.poll_seconds), wish)

    def _found(self, intent: Intent, wanted: Mapping[str, Question], wish: StopWish) -> bool:
        """Whether the provider has the batch, or may have it and nobody waits for it now."""
        for sent in self._judge.recent(intent.at - _CLOCKS_SECONDS):
            if sent.batch_id in self._till.ledger.batch_ids or sent.mark not in (None, intent.mark):
                continue
            if sent.mark is None and sent.n_questions != len(intent.keys):
                continue
            is_ours = True if sent.mark is not None else self._holds(sent.batch_id, intent, wanted, wish)
            if is_ours is not False:
                if is_ours:
                    self._till.sent(intent.mark, sent.batch_id)
                return True
        return False

    def _holds(self, batch_id: str, intent: Intent, wanted: Mapping[str, Question], wish: StopWish) -> bool | None:
        """Whether a batch without a mark holds the intent's questions, which shows when it is done; None: it may, later."""
        while not self._judge.look(batch_id).is_ended:
            if not wanted.keys() & set(intent.keys):
                return None
            self._sleep(self._till.settings.poll_seconds, wish)
        first = next(iter(self._judge.collect(batch_id)), None)
        return first is not None and _key_of(first[0]) in intent.keys

    def _wait(self, wanted: Mapping[str, Question], wish: StopWish, *, until_none: bool) -> None:
        """Collects batches of these questions as they are done: all of them, or, if not `until_none`, until one is in."""
        if not self._ours(wanted):
            return
        n_questions = sum(len(intent.keys) for intent in self._ours(wanted))
        done: dict[str, int] = {}
        with get_display().progress("batches", total=n_questions, unit="questions") as bar:
            while self._ours(wanted):
                n_open = len(self._ours(wanted))
                for intent in self._ours(wanted):
                    self._stop_if(wish)
                    self._look(intent, wanted, done, bar)
                is_one_in = len(self._ours(wanted)) < n_open
                if is_one_in and not until_none:
                    return
                if self._ours(wanted) and not is_one_in:
                    self._sleep(self._till.settings.poll_seconds, wish)

    def _look(self, intent: Intent, wanted: Mapping[str, Question], done: dict[str, int], bar: Progress) -> None:
        state = self._judge.look(intent.batch_id or "")
        n_done = len(intent.keys) if state.is_ended else min(state.n_done, len(intent.keys))
        bar.advance(max(n_done - done.get(intent.mark, 0), 0))
        done[intent.mark] = max(n_done, done.get(intent.mark, 0))
        if state.is_ended:
            self._collect(intent, wanted)

    def _collect(self, intent: Intent, wanted: Mapping[str, Question]) -> None:
        """Writes down what an ended batch brought. After a kill in the middle, the answers that are there are passed over."""
        missing = dict.fromkeys(intent.keys)
        replies = ((_key_of(name), reply) for name, reply in self._judge.collect(intent.batch_id or ""))
        for some in _groups(replies):
            news = [
                (key, wanted.get(key), reply) for key, reply in some if key in missing and not self._till.has(intent.mark, key)
            ]
            for (key, _, _), reply in zip(news, self._till.take(news, mark=intent.mark, is_batch=True), strict=True):
                if not is_kept(reply):
                    self._failed[key] = reply
            for key, _ in some:
                missing.pop(key, None)
        for key in missing:
            self._failed[key] = Reply(text=None, failure="the batch ended without an answer to this question")
        self._till.close(intent.mark)

    def _ours(self, wanted: Mapping[str, Question]) -> list[Intent]:
        """Batches on their way that hold any of these questions."""
        return [i for i in self._till.batches() if i.batch_id is not None and not wanted.keys().isdisjoint(i.keys)]

    def _stop_if(self, wish: StopWish) -> None:
        if wish.asked:
            n = sum(1 for intent in self._till.batches() if intent.batch_id is not None)
            raise Interrupted(
                f"stopped with {counted(n, 'batches') if n != 1 else '1 batch'} at the provider, where the work goes on.\n"
                "  The same command collects the answers; nothing is paid twice."
            )

    def _sleep(self, seconds: float, wish: StopWish) -> None:
        """Waits, and looks for a wish to stop now and then."""
        end = time.monotonic() + seconds
        self._stop_if(wish)
        while (left := end - time.monotonic()) > 0.0:
            time.sleep(min(left, _LOOK_SECONDS))
            self._stop_if(wish)


def _id_of(key: str) -> str:
    """A question's id within a batch: its content hash, which fits the 64 characters that providers allow."""
    return key.removeprefix(_HASH)


def _key_of(name: str) -> str:
    return _HASH + name


def _groups(replies: Iterable[tuple[str, Reply]]) -> Iterator[list[tuple[str, Reply]]]:
    """So many at a time, that each writing to the disk is worth it."""
    group: list[tuple[str, Reply]] = []
    for pair in replies:
        group.append(pair)
        if len(group) == _AT_A_TIME:
            yield group
            group = []
    if group:
        yield group
