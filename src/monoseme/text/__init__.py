"""Text: corpora of any form to documents, tokens, and contexts in which every token knows where it comes from."""

from typing import TYPE_CHECKING, Any

from monoseme.text.config import CorpusConfig
from monoseme.text.document import ROLES, CorpusFacts, Document, Turn

if TYPE_CHECKING:
    from monoseme.text.block import TokenBlock
    from monoseme.text.documents import read_documents
    from monoseme.text.plan import ContextPlan
    from monoseme.text.store import TokenStore
    from monoseme.text.tokenizer import TextTokenizer

__all__ = [
    "ROLES",
    "ContextPlan",
    "CorpusConfig",
    "CorpusFacts",
    "Document",
    "TextTokenizer",
    "TokenBlock",
    "TokenStore",
    "Turn",
    "read_documents",
]

# The configuration is read by the command line before anything runs; these would bring numpy and torch with them.
_LAZY = {
    "ContextPlan": "monoseme.text.plan",
    "TextTokenizer": "monoseme.text.tokenizer",
    "TokenBlock": "monoseme.text.block",
    "TokenStore": "monoseme.text.store",
    "read_documents": "monoseme.text.documents",
}


def __getattr__(name: str) -> Any:
    """Imports a heavier part on first use."""
    import importlib

    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_LAZY[name]), name)
