"""Text: corpora of any form to documents, tokens, and contexts in which every token knows where it comes from."""

from typing import TYPE_CHECKING

from monoseme.core.lazy import lazy_attributes
from monoseme.text.config import CorpusConfig
from monoseme.text.document import ROLES, CorpusFacts, Document, Turn

if TYPE_CHECKING:
    from monoseme.text.block import TokenBlock
    from monoseme.text.documents import read_documents
    from monoseme.text.given import GivenContexts
    from monoseme.text.plan import ContextPlan
    from monoseme.text.store import TokenStore
    from monoseme.text.tokenizer import TextTokenizer

__all__ = [
    "ROLES",
    "ContextPlan",
    "CorpusConfig",
    "CorpusFacts",
    "Document",
    "GivenContexts",
    "TextTokenizer",
    "TokenBlock",
    "TokenStore",
    "Turn",
    "read_documents",
]

# The command line reads the configuration before anything runs; these would bring numpy and torch with them.
__getattr__ = lazy_attributes(
    __name__,
    {
        "block": ["TokenBlock"],
        "documents": ["read_documents"],
        "given": ["GivenContexts"],
        "plan": ["ContextPlan"],
        "store": ["TokenStore"],
        "tokenizer": ["TextTokenizer"],
    },
)
