"""The texts of the probing study: from the flags to its three tasks, each set when it is asked for."""

import csv
import functools
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from monoseme.core.errors import ConfigError, CorpusError
from monoseme.studies._labels import require_label
from monoseme.studies._probing.tasks import NoTask, ProbeTask, context_task, semantics_task, syntax_task
from monoseme.studies._probing.text import Excerpt, Frame, excerpts_of_store, excerpts_of_tagged, frame_of, without_copies
from monoseme.studies._workbench import OF_RUN, Workbench
from monoseme.text import TextTokenizer, read_documents
from monoseme.text.tagged import TaggedText, read_tagged, spacy_pipeline, tag_texts

if TYPE_CHECKING:
    from monoseme.studies.probing import Probing

_DOMAIN = "domain"
_TAGGED_PER_PROBED = 50
"""Tokens of tagged text read for each that is probed, so that those come from many documents."""
_CHARS_PER_TOKEN = 4
"""About; to know how much text to tag before it is tokenised."""


class ProbeTexts:
    """The excerpts of a study and the tasks made of them."""

    def __init__(self, config: "Probing.Config", bench: Workbench) -> None:
        self._config, self._bench = config, bench

    @functools.cached_property
    def frame(self) -> Frame:
        """How excerpts stand in contexts."""
        return frame_of(self._bench.materials.text)

    @functools.cached_property
    def excerpts(self) -> list[Excerpt]:
        """Of the study's text: of the run's held-out documents, or of all of a text that the user named.

        Raises ConfigError where a label is asked for that no document has.
        """
        label = self._config.label or _DOMAIN
        store = self._bench.materials.text
        held_out = self._config.corpus.source == OF_RUN
        found = list(excerpts_of_store(store, label, room=self.frame.room, held_out=held_out, most_tokens=self._config.n_tokens))
        if self._config.label is not None:
            require_label(store, label, (excerpt.label for excerpt in found))
        names = label_names(Path(self._config.label_names)) if self._config.label_names is not None else {}
        named = [e._replace(label=names.get(e.label, e.label)) if e.label is not None else e for e in found]
        return without_copies(named)

    def semantics(self) -> ProbeTask | NoTask:
        """The class of a document. Raises ConfigError where a label is named, but makes no task."""
        config = self._config
        if config.label is None and all(excerpt.label is None for excerpt in self.excerpts):
            return NoTask("documents have no domain; name a text and its classes with --corpus and --label")
        made = semantics_task(
            self.excerpts,
            n_documents=config.n_documents,
            least=config.least_per_class,
            balance=config.balanced,
            seed=config.seed,
        )
        if isinstance(made, NoTask) and config.label is not None:
            raise ConfigError(f'the label "{config.label}" makes no task: {made.why}')
        return made

    def context(self) -> ProbeTask | NoTask:
        """Which document a token is from."""
        config = self._config
        return context_task(
            self.excerpts, n_documents=config.n_context_documents, n_tokens=config.tokens_per_document, seed=config.seed
        )

    def syntax(self) -> ProbeTask | NoTask:
        """The part of speech. Raises ConfigError where tags are named, but make no task, and what reading them raises."""
        config = self._config
        if config.tags is None and config.tagger != "spacy":
            return NoTask("no parts of speech; give --tags FILE.conllu, or --tagger spacy")
        excerpts = excerpts_of_tagged(
            self._tagged(),
            TextTokenizer(self._bench.model.tokenizer),
            room=self.frame.room,
            last_only=config.probed_tokens == "last",
            most_tokens=self._most_tagged,
        )
        made = syntax_task(list(excerpts), n_tokens=config.n_documents, least=config.least_per_class, seed=config.seed)
        if isinstance(made, NoTask):
            raise ConfigError(f"the tags make no task: {made.why}")
        return made

    @property
    def _most_tagged(self) -> int:
        return min(self._config.n_tokens, _TAGGED_PER_PROBED * self._config.n_documents)

    def _tagged(self) -> Iterator[TaggedText]:
        config = self._config
        if config.tags is not None:
            return read_tagged(Path(config.tags).expanduser(), column=config.tag_column)
        pipeline = spacy_pipeline(config.spacy_model)
        return tag_texts(self._texts(), pipeline, column=config.tag_column)

    def _texts(self) -> list[tuple[str, str]]:
        """(text, source) of the documents of the study's text, enough of them to tag."""
        store = self._bench.materials.text
        allowed = None
        if self._config.corpus.source == OF_RUN:
            held = {store.document_row(i): True for i in range(store.n_documents)}
            for i in range(store.n_documents):
                held[store.document_row(i)] &= store.is_heldout(i)  # a row cut over both sides is on neither
            allowed = {row for row, is_held in held.items() if is_held}
        texts, n_chars = list[tuple[str, str]](), 0
        for document in read_documents(store.config):
            if n_chars >= _CHARS_PER_TOKEN * self._most_tagged:
                break
            if document.text and (allowed is None or document.row in allowed):
                texts.append((document.text, document.source))
                n_chars += len(document.text)
        return texts


def label_names(path: Path) -> dict[str, str]:
    """Class -> name: of a csv with a header, its first two columns; of a txt, the number of a line and the line.

    Raises CorpusError if the file cannot be read, ConfigError for another ending or a line without a name.
    """
    try:
        with path.expanduser().open(encoding="utf-8-sig", newline="") as file:
            lines = list(csv.reader(file)) if path.suffix == ".csv" else [line.strip() for line in file]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise CorpusError(f"{path} cannot be read: {error}") from error
    if path.suffix == ".txt":
        return {str(number): str(line) for number, line in enumerate(lines, start=1) if line}
    if path.suffix != ".csv":
        raise ConfigError(f"{path} has no known ending.\n  Allowed: .csv with a header and class, name; .txt with a name a line")
    short = next((number for number, line in enumerate(lines, start=1) if 0 < len(line) < 2), None)
    if short is not None:
        raise ConfigError(f"{path}, line {short}: a class without a name")
    return {line[0].strip(): line[1].strip() for line in lines[1:] if line}
