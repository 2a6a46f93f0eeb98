"""Clients for language models that explain or judge: one file per provider. Imports no provider's package."""

from monoseme.judges._answers import Answer, read_reply
from monoseme.judges._base import BatchJudge, BatchState, Judge, Message, Question, Reply, SentBatch, TokenChance
from monoseme.judges._cost_report import CostReport
from monoseme.judges._desk import Desk, desk_of
from monoseme.judges._estimate import Estimate
from monoseme.judges._registry import JUDGES
from monoseme.judges._settings import DeskSettings, JudgeSettings

__all__ = [
    "JUDGES",
    "Answer",
    "BatchJudge",
    "BatchState",
    "CostReport",
    "Desk",
    "DeskSettings",
    "Estimate",
    "Judge",
    "JudgeSettings",
    "Message",
    "Question",
    "Reply",
    "SentBatch",
    "TokenChance",
    "desk_of",
    "read_reply",
]
