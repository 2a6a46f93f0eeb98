"""The label of documents that a study asks for: kept while their text is read, and missed where no document has it."""

from collections.abc import Iterable
from dataclasses import replace

from monoseme.core.config import suggest
from monoseme.core.errors import ConfigError
from monoseme.studies._workbench import OF_RUN
from monoseme.text import CorpusConfig, TokenStore

DOMAIN = "domain"
"""The label that texts of several domains bring by themselves."""


def asked(label: str) -> str | None:
    """The label, or None for domains, which need no column and may be missing where they are only the default."""
    return None if label == DOMAIN else label


def with_label(corpus: CorpusConfig, label: str | None) -> CorpusConfig:
    """The corpus, which keeps the label's column if the user named the text. None: no label is asked for."""
    if corpus.source == OF_RUN or label is None or label in corpus.label_fields:
        return corpus
    return replace(corpus, label_fields=(*corpus.label_fields, label))


def require_label(store: TokenStore, label: str, found: Iterable[str | None]) -> None:
    """`found`: what the documents have of it. Raises ConfigError if none has it."""
    if any(found):
        return
    present = sorted(store.document_labels(0))
    have = f"They have: {', '.join(present)}" if present else "They have none"
    raise ConfigError(
        f'no document of {store.config.source} has the label "{label}".{suggest(label, present)}\n'
        f"  {have}. Labels are columns of a text that is named with --corpus."
    )
