"""Clients for language models that explain or judge: one file per provider. Imports no provider's package."""

from monoseme.judges._base import BatchJudge, BatchState, Judge, Message, Question, Reply, SentBatch, TokenChance
from monoseme.judges._desk import Answer, Desk
from monoseme.judges._registry import JUDGES

__all__ = [
    "JUDGES",
    "Answer",
    "BatchJudge",
    "BatchState",
    "Desk",
    "Judge",
    "Message",
    "Question",
    "Reply",
    "SentBatch",
    "TokenChance",
]
