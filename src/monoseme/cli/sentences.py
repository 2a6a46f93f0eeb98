"""Cut a corpus into sentences, and write them in order as a Parquet file.

    monoseme sentences --corpus books.jsonl --out sentences.parquet
    monoseme train --corpus sentences.parquet      reads them back, a sentence to each context, without BOS

Columns: text, source, row, sentence, start, stop (characters in the row's text) and the corpus's labels. `--corpus.language de`
takes the rules of another language.
"""

from dataclasses import dataclass, field
from pathlib import Path

from monoseme.cli._declared import short_flags
from monoseme.cli._options import CONFIG, expand, parse, settings, take_files
from monoseme.cli._verbs import document
from monoseme.core.display import counted, get_display
from monoseme.core.files import typed
from monoseme.text import CorpusConfig

_SHORT = {"--corpus": "--corpus.source"}


@dataclass(frozen=True, kw_only=True)
class Options:
    """What the command line says."""

    corpus: CorpusConfig = field(default_factory=lambda: CorpusConfig(sentences="cut"))
    """Texts to cut."""
    out: Path = Path("sentences.parquet")
    """The file; one that is there is replaced when the new one is whole."""
    max_sentences: int | None = None
    """Stop after so many sentences (None: the whole corpus)."""


def main(words: list[str]) -> int:
    """Writes the file."""
    said, rest = take_files(words)
    default = settings(Options(), said, where="config")
    options = parse(
        Options,
        expand(rest, _SHORT),
        verb="sentences",
        summary=document("sentences"),
        default=default,
        by_hand=(*short_flags(_SHORT), CONFIG),
    )
    from monoseme.text.sentence_file import write_sentences  # help needs neither numpy nor pyarrow

    made = write_sentences(options.corpus, options.out, max_sentences=options.max_sentences)
    display = get_display()
    display.say(
        f"{counted(made.n_sentences, 'sentences')} of {counted(made.n_documents, 'texts')}, "
        f"{made.n_bytes / 1e6:,.1f} MB: {options.out}\n"
        f"  Read them back with:  --corpus {typed(options.out)}"
    )
    display.result({**made._asdict(), "path": str(made.path)})
    return 0
