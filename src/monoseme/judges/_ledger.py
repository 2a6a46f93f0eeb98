"""The ledger: what a folder's judges were asked, what they answered and what it cost, line by line, never rewritten.

`ledger.jsonl` is written by desks and read by them. Each line is one object; `says` tells which:
    judge   {judge, identity}                          a judge's settings, before its first question
    intent  {mark, judge, keys, most, batch, at}       questions about to be sent, with the most that they can cost
    sent    {mark, batch_id}                           the provider took them as a batch
    answer  {mark, judge, key, cost, bytes, question, reply}   one came back
    closed  {mark}                                     of this intent nothing more will come, or be charged
A line is on the disk before what it announces is done, so that after a kill nothing that may have been paid is unknown. An intent
that was never closed counts as the most it can cost.
"""

import json
import os
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from monoseme.core.errors import ArtifactDamagedError
from monoseme.core.files import guard_disk, sync_folder
from monoseme.judges._base import Reply, TokenChance


@dataclass
class Intent:
    """Questions that were about to be sent, and of which not all answers are known."""

    mark: str
    judge: str
    keys: list[str]
    most: float | None
    """US dollars at most; None without a price."""
    is_batch: bool
    at: float
    """Seconds since 1970."""
    batch_id: str | None = None


class Usual(NamedTuple):
    """Sums over the answers of one judge: what its next ones will be like."""

    n_answers: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    n_bytes: int = 0


class _Place(NamedTuple):
    """Where an answer's line begins in the file (byte), and which intent it came of."""

    start: int
    mark: str | None


@dataclass
class _Sums:
    spent: float = 0.0
    usual: dict[str, Usual] = field(default_factory=dict[str, Usual])


class Ledger:
    """The file of one folder. Appending is safe from several threads; one process at a time may append."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "ledger.jsonl"
        self.intents: dict[str, Intent] = {}
        self.unpriced: list[tuple[str, Reply]] = []
        """Answers whose price was not known, with the judge."""
        self.batch_ids: set[str] = set()
        """Every batch that is known to be ours."""
        self._answers: dict[str, _Place] = {}
        self._judges: set[str] = set()
        self._sums = _Sums()
        self._end = 0
        self._n_lines = 0
        self._lock = threading.Lock()

    def refresh(self) -> None:
        """Reads what was appended since the last time. A last line that a kill cut short counts as not written.

        Raises ArtifactDamagedError for a line that is no object of ours.
        """
        if not self.path.exists():
            return
        with self._lock, self.path.open("rb") as file:
            file.seek(self._end)
            for line in file:
                if not line.endswith(b"\n"):
                    break
                self._n_lines += 1
                self._read(line)
                self._end += len(line)

    def append(self, records: Iterable[Mapping[str, Any]]) -> None:
        """Writes the records, whole and on the disk when this returns. Raises DiskFullError."""
        listed = [dict(record) for record in records]
        lines = [json.dumps(record, ensure_ascii=False, allow_nan=False).encode() + b"\n" for record in listed]
        with self._lock, guard_disk(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("r+b" if self.path.exists() else "w+b") as file:
                file.truncate(self._end)  # a line that a kill cut short
                file.seek(self._end)
                file.write(b"".join(lines))
                file.flush()
                os.fsync(file.fileno())
            if self._end == 0:
                sync_folder(self.path.parent)
            for record, line in zip(listed, lines, strict=True):
                self._take(record)
                self._end += len(line)
                self._n_lines += 1

    def knows_judge(self, judge: str) -> bool:
        """Whether the judge's settings are written."""
        return judge in self._judges

    def has(self, key: str) -> bool:
        """Whether a question was answered, be it by a failure."""
        return key in self._answers

    def mark_of(self, key: str) -> str | None:
        """The intent that the latest answer to a question came of; None where there is none."""
        place = self._answers.get(key)
        return None if place is None else place.mark

    def reply(self, key: str) -> Reply:
        """The latest answer to a question that `has` one."""
        with self.path.open("rb") as file:
            file.seek(self._answers[key].start)
            return reply_from(json.loads(file.readline())["reply"])

    @property
    def spent(self) -> float:
        """US dollars of all answers with a price."""
        return self._sums.spent

    def committed(self) -> float:
        """US dollars that are spent or may be: at one moment, whatever threads append meanwhile."""
        with self._lock:
            return self._sums.spent + self._open_cost()

    @property
    def open_cost(self) -> float:
        """US dollars that questions without an answer may have cost, or may yet cost, at most."""
        with self._lock:
            return self._open_cost()

    @property
    def n_open(self) -> int:
        """Those questions (count)."""
        with self._lock:
            return sum(len(intent.keys) for intent in self.intents.values())

    def _open_cost(self) -> float:
        return sum(intent.most or 0.0 for intent in self.intents.values())

    def usual(self, judge: str) -> Usual:
        """What the answers of a judge were like so far."""
        return self._sums.usual.get(judge, Usual())

    def _read(self, line: bytes) -> None:
        try:
            self._take(json.loads(line))
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise ArtifactDamagedError(
                f"line {self._n_lines:,} of {self.path} is damaged.\n"
                "  Delete that line to go on without it; an answer in it will be asked for, and paid, again."
            ) from error

    def _take(self, record: Mapping[str, Any]) -> None:
        """Brings what we know up to date with one line, which begins at `_end`."""
        says = record["says"]
        if says == "answer":
            self._take_answer(record)
        elif says == "intent":
            fields = {name: record[name] for name in ("mark", "judge", "keys", "most", "at")}
            self.intents[record["mark"]] = Intent(**fields, is_batch=record["batch"])
        elif says == "sent":
            self.batch_ids.add(record["batch_id"])
            self.intents[record["mark"]].batch_id = record["batch_id"]
        elif says == "closed":
            self.intents.pop(record["mark"], None)
        elif says == "judge":
            self._judges.add(record["judge"])

    def _take_answer(self, record: Mapping[str, Any]) -> None:
        reply, judge = record["reply"], record["judge"]
        self._answers[record["key"]] = _Place(self._end, record["mark"])
        if record["cost"] is None:
            self.unpriced.append((judge, reply_from(reply)))
        else:
            self._sums.spent += record["cost"]
        intent = self.intents.get(record["mark"])
        if intent is not None and not intent.is_batch:
            del self.intents[record["mark"]]
        if record["bytes"] is not None:
            n_input = reply["input_tokens"] + reply["cached_input_tokens"] + reply["written_input_tokens"]
            more = Usual(1, n_input, reply["output_tokens"], record["bytes"])
            before = self.usual(judge)
            self._sums.usual[judge] = Usual(*(a + b for a, b in zip(before, more, strict=True)))


def reply_to(reply: Reply) -> dict[str, Any]:
    """A reply as plain values, as an answer's line holds it."""
    return {
        "text": reply.text,
        "failure": reply.failure,
        "input_tokens": reply.input_tokens,
        "cached_input_tokens": reply.cached_input_tokens,
        "written_input_tokens": reply.written_input_tokens,
        "output_tokens": reply.output_tokens,
        "tokens": [[token.text, dict(token.likeliest)] for token in reply.tokens],
    }


def reply_from(data: Mapping[str, Any]) -> Reply:
    """The inverse of `reply_to`."""
    fields = {name: value for name, value in data.items() if name != "tokens"}
    return Reply(**fields, tokens=tuple(TokenChance(text, likeliest) for text, likeliest in data["tokens"]))
