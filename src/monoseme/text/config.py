"""What text to read, how to cut it into documents and contexts, and what of it an SAE may see."""

import re
from dataclasses import dataclass
from typing import Literal

from monoseme.core.errors import ConfigError

_LANGUAGE = re.compile("[a-z]{2,3}")


@dataclass(frozen=True, kw_only=True)
class CorpusConfig:
    """A corpus and its way into contexts. Read by `read_documents` and `TokenStore.build`."""

    source: str = "bundled"
    """"bundled" (or one domain of it: "bundled:stories", "bundled:python_docs"), a file, a folder, or a hub dataset id."""
    field: str = "text"
    """Column or key that holds the text, or with `chat` the conversation."""
    subset: str | None = None
    """Configuration of a hub dataset that has several (None: its default)."""
    split: str = "train"
    """Split of a hub or saved dataset."""
    revision: str | None = None
    """Revision of a hub dataset (None: the newest)."""
    streaming: bool = True
    """Read a hub dataset as it arrives instead of downloading all of it first."""
    columns: tuple[str, ...] | None = None
    """Names of the columns of csv and tsv files without a header line (None: the first line is the header)."""
    separator: str | None = None
    """Text between the documents of a .txt file (None: the file is one document, read in pieces)."""
    group_field: str | None = None
    """Column that names the source of a row, such as its author; a source is never split (None: each row is a source)."""
    label_fields: tuple[str, ...] = ()
    """Columns kept with each document as labels."""
    strict: bool = False
    """Stop at the first broken row instead of skipping, counting and telling it."""
    sentences: Literal["auto", "none", "cut", "given"] = "auto"
    """Each sentence a document of its own, alone in its context, without BOS: cut from the text (cut), or each row one already
    (given); its source stays the text it comes from. auto: given for files that `monoseme sentences` wrote and for the hub's
    PaulPauls/openwebtext-sentences, else none."""
    language: str | None = None
    """Language by whose rules sentences are cut, such as de (ISO 639; None: en); only where they are cut."""
    min_tokens: int = 0
    """Documents with fewer tokens than this are left out (tokens)."""
    truncate_tokens: int | None = None
    """Only the first tokens of each document are kept (tokens; None: all of them, of a sentence as many as a context holds)."""
    section_tokens: int = 2000
    """Longer documents are cut into equal sections of at most this many tokens, which count as documents."""
    context_len: int = 128
    """Positions of a context, BOS included (S)."""
    packing: Literal["auto", "packed", "one_per_context"] = "auto"
    """Contexts filled with document after document, or contexts of one document each, padded; auto: one_per_context for
    sentences, packed for all else."""
    bos: Literal["auto", "always", "document", "never"] = "auto"
    """BOS at the start of every context and document, of every document, or nowhere; auto: never for sentences, else always, if
    the tokenizer has one."""
    chat: Literal["none", "messages", "human_assistant"] = "none"
    """What `field` holds: plain text, a list of {role, content}, or one text with "Human:" and "Assistant:" turns."""
    chat_template: str | None = None
    """Jinja template of conversations (None: the tokenizer's own; where it has none, human_assistant as it was written)."""
    only_roles: tuple[str, ...] | None = None
    """Roles whose tokens reach SAEs and metrics; the others are context only (None: all)."""
    keep_special: bool = False
    """Let BOS and other special tokens reach SAEs and metrics. Padding never does."""
    shuffle: bool = True
    """Mix documents and contexts within each million tokens of text."""
    holdout_fraction: float = 0.1
    """Share of the sources kept out of training (fraction)."""
    seed: int = 0
    """Seed of the held-out split and of the order."""

    def __post_init__(self) -> None:
        """Raises ConfigError for a value out of range or one that would not be used."""
        _at_least("min_tokens", self.min_tokens, 0)
        _at_least("section_tokens", self.section_tokens, 1)
        _at_least("context_len", self.context_len, 2)
        if self.truncate_tokens is not None:
            _at_least("truncate_tokens", self.truncate_tokens, 1)
        if not 0.0 <= self.holdout_fraction < 1.0:
            raise ConfigError(f"holdout_fraction is {self.holdout_fraction}; it must be at least 0 and below 1")
        if self.separator == "":
            raise ConfigError("separator is empty; leave it out to read a text file as one document")
        if not self.source:
            raise ConfigError('source is empty.\n  Give "bundled", a file, a folder or a hub dataset id.')
        self._check_chat()
        self._check_sentences()

    def _check_chat(self) -> None:
        if self.chat != "none":
            return
        for name in ("chat_template", "only_roles"):
            if getattr(self, name) is not None:
                raise ConfigError(f'{name} is set, but chat is "none".\n  Set chat to "messages" or "human_assistant".')

    def _check_sentences(self) -> None:
        if self.language is not None and self.sentences != "cut":
            raise ConfigError(f'language is "{self.language}", but no sentences are cut.\n  Set sentences to "cut".')
        if self.language is not None and not _LANGUAGE.fullmatch(self.language):
            raise ConfigError(f'"{self.language}" is no code of a language.\n  Give two or three letters, such as en, de or ja.')
        if self.sentences not in ("cut", "given"):
            return
        mode = f'sentences are "{self.sentences}"'
        if self.packing == "packed":
            raise ConfigError(
                f'{mode} and packing is "packed", but a sentence is alone in its context.\n'
                '  Leave packing out; or set sentences to "none", and each row is plain text.'
            )
        if self.bos not in ("auto", "never"):
            raise ConfigError(f'{mode} and bos is "{self.bos}", but a sentence stands without BOS.\n  Leave bos out.')
        if self.chat != "none":
            raise ConfigError(
                f'{mode} and chat is "{self.chat}", but turns are not cut into sentences.\n  Leave out one of them.'
            )


def _at_least(name: str, value: int, least: int) -> None:
    if value < least:
        raise ConfigError(f"{name} is {value}; it must be at least {least}")
