"""The text that every installation has: shipped stories, and the documentation of the user's own Python."""

from collections.abc import Iterator

from monoseme import bundled
from monoseme.core.config import suggest
from monoseme.core.display import get_display
from monoseme.core.errors import ConfigError
from monoseme.text.config import CorpusConfig
from monoseme.text.python_docs import python_docs
from monoseme.text.rows import BadRow, Row, read_rows

DOMAINS = ("stories", "python_docs")
"""The values of the label `domain` of bundled documents."""


def is_bundled(source: str) -> bool:
    """Whether a corpus source names the bundled text or a domain of it."""
    return source == "bundled" or source.startswith("bundled:")


def read_bundled(config: CorpusConfig) -> Iterator[Row | BadRow]:
    """The rows of the bundled text: fields `text` and `domain`, the file of a row being its domain.

    Both domains grow alike: the next document is of the domain with fewer characters so far, stories first. Any stretch
    thus holds both until one ends. Raises ConfigError for a domain that does not exist or a field that rows do not have.
    """
    if config.field != "text":
        raise ConfigError(f'the bundled text has its text in the field "text", not "{config.field}"')
    domain = config.source.partition(":")[2]
    if domain and domain not in DOMAINS:
        raise ConfigError(f'no bundled domain "{domain}".{suggest(domain, DOMAINS)}\n  Allowed: {", ".join(DOMAINS)}')
    readers = {"stories": _stories, "python_docs": _documentation}
    yield from _balanced([readers[name](config) for name in DOMAINS if not domain or name == domain])


def _balanced(streams: list[Iterator[Row | BadRow]]) -> Iterator[Row | BadRow]:
    n_chars = dict.fromkeys(range(len(streams)), 0)
    while n_chars:
        least = min(n_chars, key=lambda i: n_chars[i])
        row = next(streams[least], None)
        if row is None:
            del n_chars[least]
            continue
        n_chars[least] += len(row.fields["text"]) if isinstance(row, Row) else 0
        yield row


def _stories(config: CorpusConfig) -> Iterator[Row | BadRow]:
    for row in read_rows(bundled.stories_file(), config, name="stories"):
        yield row._replace(fields={**row.fields, "domain": "stories"}) if isinstance(row, Row) else row


def _documentation(config: CorpusConfig) -> Iterator[Row | BadRow]:
    found = False
    for number, file in enumerate(python_docs(), start=1):
        found = True
        yield Row(f"python_docs/{file.name}", number, {config.field: file.text, "domain": "python_docs"}, own_source=False)
    if not found:
        get_display().warn("this Python installation has no documentation to read; the bundled text is stories only")
