"""The till: what questions may cost and did cost, so that a budget is never passed and nothing is paid twice.

Before questions go out, the most that they can cost is written to the ledger; when they are answered, what they cost replaces it.
Spent and possible together stay within the budget at every moment, also after a kill: an intent that was never closed goes on
counting as the most it can cost.
"""

import secrets
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from monoseme.core.config import to_dict
from monoseme.core.errors import BudgetError, ConfigError
from monoseme.core.files import hash_json
from monoseme.judges._answers import read_reply
from monoseme.judges._base import BatchJudge, Judge, Question, Reply
from monoseme.judges._clean import clean_reply
from monoseme.judges._ledger import Intent, Ledger, reply_to
from monoseme.judges._prices import Price, price_of
from monoseme.judges._secrets import safe_message, without_secrets
from monoseme.judges._settings import DeskSettings
from monoseme.judges._size import most_input_tokens, n_bytes


class Told(NamedTuple):
    """A question with what came back."""

    question: Question
    reply: Reply
    is_kept: bool
    """Whether the reply was there from before, or for an equal question."""


class Till:
    """One judge's questions and answers in a folder's ledger."""

    def __init__(self, judge: Judge, folder: Path, settings: DeskSettings) -> None:
        """Raises ConfigError for a budget on a model whose price is not known, and for batches of a judge that takes none."""
        self.judge = judge
        self.ledger = Ledger(folder)
        self.settings = settings
        self.identity = judge.identity
        self.judge_hash = hash_json(self.identity)
        self.price = None if judge.price_name is None else price_of(judge.price_name, table=settings.prices)
        self.taken: list[tuple[Reply, float | None]] = []
        """Replies that came since the desk was opened, with what they cost (US dollars, None without a price)."""
        self._asked_keys: set[str] = set()
        _check(judge, settings, self.price)

    @property
    def is_free(self) -> bool:
        """Whether the judge costs nothing."""
        return self.judge.price_name is None

    @property
    def secret_variables(self) -> list[str]:
        """Names in the judge's config that may be those of environment variables with its key."""
        return [value for value in to_dict(self.judge.config).values() if isinstance(value, str)]

    def key(self, question: Question) -> str:
        """The question's content hash for this judge."""
        return question.key(self.identity)

    def kept(self, key: str, question: Question) -> Reply | None:
        """The answer to a question that need not be sent; None for one that is to be asked."""
        if not self.ledger.has(key):
            return None
        reply = self.ledger.reply(key)
        is_again = self.settings.again and key not in self._asked_keys
        return None if is_again and read_reply(question, reply).failure is not None else reply

    def most(self, question: Question, *, is_batch: bool) -> float | None:
        """US dollars that it can cost at most; None without a price."""
        if self.is_free:
            return 0.0
        if self.price is None:
            return None
        n_input = most_input_tokens(question)
        return self.price.most(input_tokens=n_input, output_tokens=question.max_tokens, share=self._share(is_batch))

    def money(self, input_tokens: int | None, output_tokens: int) -> float | None:
        """US dollars for so many tokens by the desk's settings; None without tokens or a price."""
        if input_tokens is None:
            return None
        return self._cost(Reply(text=None, input_tokens=input_tokens, output_tokens=output_tokens), self.settings.batch)

    def left(self) -> float | None:
        """US dollars of the budget that nothing was spent on and nothing may yet be; None without a budget."""
        if self.settings.budget is None:
            return None
        return self.settings.budget - self.ledger.committed() - self._priced_late()

    @property
    def spent(self) -> float:
        """US dollars of all answers in the folder whose price is known."""
        return self.ledger.spent + self._priced_late()

    def check_budget(self) -> None:
        """Raises BudgetError where a budget is set, and another model's answers in the folder were paid at an unknown price."""
        strangers = [judge for judge, _ in self.ledger.unpriced if judge != self.judge_hash]
        if self.settings.budget is not None and strangers:
            raise BudgetError(
                f"{len(strangers):,} answers of another judge in {self.ledger.path.parent} have no known price, "
                "so that a budget cannot be kept.\n  Leave --budget out."
            )

    def too_dear(self, most: float) -> BudgetError:
        """The error for questions that do not fit."""
        ledger, budget = self.ledger, self.settings.budget or 0.0
        held = f", and up to ${ledger.open_cost:.4f} for questions without an answer" if ledger.open_cost else ""
        return BudgetError(
            f"the next question could cost up to ${most:.4f}.\n"
            f"  Of the budget of ${budget:.4f}, ${self.spent:.4f} is spent{held}.\n"
            "  What was answered is kept. To go on, type the same command with a larger --budget."
        )

    def open(self, keys: Sequence[str], *, most: float | None, is_batch: bool, mark: str | None = None) -> str:
        """Writes that questions are about to be sent; the mark of that intent."""
        mark = mark or secrets.token_hex(8)
        records: list[dict[str, Any]] = []
        if not self.ledger.knows_judge(self.judge_hash):
            records.append({"says": "judge", "judge": self.judge_hash, "identity": self._clean(self.identity)})
        fields = {"mark": mark, "judge": self.judge_hash, "keys": list(keys), "most": most, "batch": is_batch, "at": time.time()}
        self.ledger.append([*records, {"says": "intent", **fields}])
        return mark

    def sent(self, mark: str, batch_id: str) -> None:
        """Writes the provider's name of a batch."""
        self.ledger.append([{"says": "sent", "mark": mark, "batch_id": batch_id}])

    def close(self, mark: str) -> None:
        """Writes that nothing more comes of an intent, and nothing more is charged."""
        self.ledger.append([{"says": "closed", "mark": mark}])

    def take(self, replies: Iterable[tuple[str, Question | None, Reply]], *, mark: str | None, is_batch: bool) -> list[Reply]:
        """Writes replies by the keys of their questions, and gives them back as they may be shown.

        A failure that cost nothing is not written, so that its question is asked again another time; nor is one that may have
        been charged, which stays an open intent. An answer whose cost is not told costs the most that it can.
        """
        records: list[dict[str, Any]] = []
        cleaned: list[Reply] = []
        for key, question, reply in replies:
            clean = clean_reply(reply, variables=self.secret_variables)
            cleaned.append(clean)
            if is_kept(clean):
                cost = (
                    self.most(question, is_batch=is_batch) if clean.may_be_charged and question else self._cost(clean, is_batch)
                )
                self.taken.append((clean, cost))
                self._asked_keys.add(key)
                records.append(self._record(key, question, clean, mark=mark, cost=cost))
            elif clean.may_be_charged and is_batch and question is not None:  # the batch's own intent is closed with the batch
                self.open([key], most=self.most(question, is_batch=True), is_batch=False)
        if records:
            self.ledger.append(records)
        return cleaned

    def take_one(self, key: str, question: Question, reply: Reply, *, mark: str | None) -> Reply:
        """Writes the reply to a question that was sent by itself, or that it cost nothing; the reply as it may be shown."""
        clean = self.take([(key, question, reply)], mark=mark, is_batch=False)[0]
        if mark is not None and not is_kept(clean) and not clean.may_be_charged:
            self.close(mark)
        return clean

    def safe(self, error: BaseException) -> BaseException:
        """The error, with what it says and what its causes say without secrets."""
        seen: BaseException | None = error
        while seen is not None:
            said = (safe_message(part, variables=self.secret_variables) if isinstance(part, str) else part for part in seen.args)
            seen.args = tuple(said)
            seen = seen.__cause__ or seen.__context__
        return error

    def has(self, mark: str, key: str) -> bool:
        """Whether an intent's answer to a question is written."""
        return self.ledger.mark_of(key) == mark

    def batches(self) -> list[Intent]:
        """This judge's batches that are not closed."""
        return [intent for intent in self.ledger.intents.values() if intent.is_batch and intent.judge == self.judge_hash]

    def _record(
        self, key: str, question: Question | None, reply: Reply, *, mark: str | None, cost: float | None
    ) -> dict[str, Any]:
        asked = None if question is None else [self._clean(list(message)) for message in question.messages]
        return {
            "says": "answer",
            "mark": mark,
            "judge": self.judge_hash,
            "key": key,
            "cost": cost,
            "bytes": None if question is None else n_bytes(question),
            "question": asked,
            "reply": reply_to(reply),
        }

    def _cost(self, reply: Reply, is_batch: bool) -> float | None:
        if self.is_free:
            return 0.0
        return None if self.price is None else self.price.cost(reply, share=self._share(is_batch))

    def _priced_late(self) -> float:
        """US dollars of this judge's answers that came before its price was known."""
        if self.price is None:
            return 0.0
        return sum(self.price.cost(reply) for judge, reply in self.ledger.unpriced if judge == self.judge_hash)

    def _share(self, is_batch: bool) -> float:
        return self.judge.batch_discount if is_batch and isinstance(self.judge, BatchJudge) else 1.0

    def _clean(self, value: Any) -> Any:
        """Plain values without secrets."""
        if isinstance(value, dict):
            return {key: self._clean(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self._clean(item) for item in value]
        if isinstance(value, str):
            return without_secrets(value, variables=self.secret_variables).encode("utf-8", "replace").decode()
        return value


def is_kept(reply: Reply) -> bool:
    """Whether a reply is good, or is known to be paid for."""
    n_tokens = reply.input_tokens + reply.cached_input_tokens + reply.written_input_tokens + reply.output_tokens
    return reply.failure is None or n_tokens > 0


def _check(judge: Judge, settings: DeskSettings, price: Price | None) -> None:
    if settings.batch and not isinstance(judge, BatchJudge):
        raise ConfigError(f"{judge.plugin_name} takes no batches.\n  Leave --batch out.")
    if settings.budget is not None and judge.price_name is not None and price is None:
        raise ConfigError(
            f"no price of {judge.price_name} is known, so that a budget cannot be kept.\n"
            "  Give its price in a table with --prices FILE (monoseme/judges/prices.toml shows how), or leave --budget out."
        )
