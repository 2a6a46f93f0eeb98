"""The tokens of a corpus, held compactly: uint32 ids, offsets of sections, sources and labels.

A store grows group by group in a background thread, one group ahead of what was asked for, so that the first block of a
huge corpus does not wait for the last. What needs the whole corpus (`n_tokens`, `content_hash`, `len` of a plan) waits.
"""

import contextvars
import hashlib
import platform
import tempfile
import threading
import weakref
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from monoseme.core.config import to_dict
from monoseme.core.display import get_display
from monoseme.core.errors import ConfigError, EmptyCorpusError
from monoseme.text.bundled import is_bundled
from monoseme.text.chat import AS_WRITTEN
from monoseme.text.config import CorpusConfig
from monoseme.text.document import CorpusFacts
from monoseme.text.documents import read_documents
from monoseme.text.group import Group, gather_tokens
from monoseme.text.holdout import Holdout
from monoseme.text.plan import ContextPlan
from monoseme.text.sections import Ids, Section, Tokens, read_sections
from monoseme.text.sentences import with_sentences
from monoseme.text.tokenizer import TextTokenizer

GROUP_TOKENS = 1 << 20
"""Tokens after which a group is closed; documents and contexts are mixed within a group."""
TOKENS_IN_MEMORY = 1 << 26
"""Tokens held in memory (256 MB of ids); what comes after lies in memory-mapped files of a temporary folder."""


class TokenStore:
    """A tokenised corpus. Made by `TokenStore.build`; documents are numbered in reading order and never change."""

    def __init__(
        self, config: CorpusConfig, tokenizer: TextTokenizer, *, max_tokens: int | None, group_tokens: int = GROUP_TOKENS
    ) -> None:
        """Assigns; `build` starts the reading."""
        self.config, self.tokenizer, self.max_tokens = config, tokenizer, max_tokens
        self.facts = CorpusFacts()
        self.groups: list[Group] = []
        self._group_tokens = group_tokens
        self._source_ids: dict[str, int] = {}
        self._labels: list[dict[str, str]] = []
        self._holdout = Holdout(fraction=config.holdout_fraction, seed=config.seed)
        self._splits_sections: bool | None = None
        self._hash = hashlib.sha256()
        self._lock = threading.Lock()
        self._context = contextvars.copy_context()
        self._folder: Path | None = None
        self._sections = self._limited(
            read_sections(read_documents(config, self.facts), config, tokenizer, self.facts), max_tokens
        )
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="tokenise")
        self._next: Future[Group | None] | None = None
        weakref.finalize(self, self._executor.shutdown, wait=False)

    @classmethod
    def build(cls, corpus: CorpusConfig, tokenizer: Any, *, max_tokens: int | None = None) -> "TokenStore":
        """Opens the corpus and starts tokenising it; returns when the first group is there.

        `tokenizer` is a tokenizer of transformers or tokenizers, or a `TextTokenizer`. `max_tokens` ends the corpus after
        that many tokens, in the middle of a document if need be (None: the whole corpus).

        Raises what `read_documents` raises, EmptyCorpusError if no document passes the filters, ConfigError if BOS is asked
        for and the tokenizer has none.
        """
        ours = tokenizer if isinstance(tokenizer, TextTokenizer) else TextTokenizer(tokenizer)
        if max_tokens is not None and max_tokens < 1:
            raise ConfigError(f"max_tokens is {max_tokens}; it must be at least 1")
        store = cls(_resolved(corpus, ours), ours, max_tokens=max_tokens)
        if not store.has_group(0):
            raise EmptyCorpusError(
                f'"{corpus.source}" holds no document of at least {max(corpus.min_tokens, 1)} tokens '
                f"({store.facts.n_short:,} are shorter).\n  Lower min_tokens."
            )
        return store

    def has_group(self, g: int) -> bool:
        """Whether the corpus reaches group g; waits for it."""
        with self._lock:
            while len(self.groups) <= g:
                pending = self._next or self._start()
                group = pending.result()
                if group is None:
                    return False
                self.groups.append(group)
                self._next = self._start()
            return True

    def _start(self) -> "Future[Group | None]":
        self._next = self._executor.submit(self._context.copy().run, self._make_group)
        return self._next

    def finish(self) -> None:
        """Waits until the whole corpus is tokenised."""
        while self.has_group(len(self.groups)):
            pass

    @property
    def n_tokens(self) -> int:
        """Tokens of all documents, BOS not counted. Waits for the whole corpus."""
        self.finish()
        return sum(len(group.tokens.ids) for group in self.groups)

    @property
    def n_documents(self) -> int:
        """Documents (sections). Waits for the whole corpus."""
        self.finish()
        return sum(group.n_sections for group in self.groups)

    @property
    def n_sources(self) -> int:
        """Sources. Waits for the whole corpus."""
        return len(self.source_names)

    @property
    def source_names(self) -> tuple[str, ...]:
        """Name of each source by its number. Waits for the whole corpus."""
        self.finish()
        return tuple(self._source_ids)

    @property
    def content_hash(self) -> str:
        """Hash of all tokens, borders, sources and of the held-out split. Waits for the whole corpus."""
        self.finish()
        return f"sha256:{self._hash.hexdigest()}"

    @property
    def spec(self) -> dict[str, Any]:
        """What a manifest says of the text. Waits for the whole corpus."""
        spec: dict[str, Any] = {
            "corpus": to_dict(self.config),
            "max_tokens": self.max_tokens,
            "tokenizer": self.tokenizer.content_hash(),
            "content": self.content_hash,
            "n_tokens": self.n_tokens,
            "n_documents": self.n_documents,
            "n_sources": self.n_sources,
        }
        # The documentation of Python differs from version to version.
        return spec | ({"python": platform.python_version()} if is_bundled(self.config.source) else {})

    def document(self, i: int) -> Ids:
        """Token ids of document i (uint32, read-only in spirit). Raises IndexError if there is none."""
        return self.document_tokens(i).ids

    def document_tokens(self, i: int) -> Tokens:
        """Token ids of document i, with roles and turns for conversations."""
        group, local = self._find(i)
        return group.section(local)

    def document_source(self, i: int) -> int:
        """Number of the source of document i."""
        group, local = self._find(i)
        return int(group.source[local])

    def document_labels(self, i: int) -> dict[str, str]:
        """Labels of document i, such as its domain."""
        group, local = self._find(i)
        return self._labels[int(group.label[local])]

    def document_row(self, i: int) -> int:
        """Row of the corpus that document i is cut from, broken rows counted."""
        group, local = self._find(i)
        return int(group.row[local])

    def is_heldout(self, i: int) -> bool:
        """Whether document i is held out of training."""
        group, local = self._find(i)
        return bool(group.heldout[local])

    def contexts(self, split: Literal["train", "heldout", "all"] = "train") -> ContextPlan:
        """The contexts of one side of the held-out split, or of all documents."""
        return ContextPlan(self, split)

    def close(self) -> None:
        """Stops reading. What is there stays usable."""
        self._executor.shutdown(wait=True, cancel_futures=True)

    def __repr__(self) -> str:
        """The corpus and how much of it is here."""
        n_tokens = sum(len(group.tokens.ids) for group in self.groups)
        return f"TokenStore({self.config.source!r}, {n_tokens:,} tokens so far)"

    def _find(self, i: int) -> tuple[Group, int]:
        g = 0
        while i >= 0 and self.has_group(g):
            # Groups are few (a thousand for a billion tokens), but a search is as short to write.
            firsts = [group.first for group in self.groups]
            g = int(np.searchsorted(firsts, i, side="right")) - 1
            if i - firsts[g] < self.groups[g].n_sections:
                return self.groups[g], i - firsts[g]
            g = len(self.groups)
        raise IndexError(f"no document {i}")

    @staticmethod
    def _limited(sections: Iterator[Section], max_tokens: int | None) -> Iterator[Section]:
        left = max_tokens
        for section in sections:
            if left is not None:
                section = section._replace(tokens=section.tokens.cut(0, left))
                left -= len(section.tokens.ids)
            yield section
            if left == 0:
                return

    def _make_group(self) -> Group | None:
        """The next group, in the background; None after the last."""
        sections: list[Section] = []
        n_tokens = 0
        for section in self._sections:
            sections.append(section)
            n_tokens += len(section.tokens.ids)
            if n_tokens >= self._group_tokens:
                break
        if not sections:
            return None
        first = self.groups[-1].first + self.groups[-1].n_sections if self.groups else 0
        group = Group(
            first=first,
            tokens=gather_tokens(sections),
            offsets=np.cumsum([0, *(len(section.tokens.ids) for section in sections)]),
            source=np.array([self._source_id(section.source) for section in sections], dtype=np.int32),
            label=np.array([self._label_id(section) for section in sections], dtype=np.int32),
            row=np.array([section.row for section in sections], dtype=np.int64),
            heldout=np.array(self._heldout(sections, first), dtype=bool),
        )
        for part in [*group.hashed_parts(), "\0".join(section.source for section in sections).encode()]:
            self._hash.update(part)
        in_memory = first == 0 or sum(len(g.tokens.ids) for g in self.groups) + n_tokens <= TOKENS_IN_MEMORY
        return group if in_memory else group.moved_to(self._spill_folder())

    def _source_id(self, name: str) -> int:
        return self._source_ids.setdefault(name, len(self._source_ids))

    def _label_id(self, section: Section) -> int:
        labels = dict(section.labels)
        # Sections of one row follow each other; other rows mostly share their few labels with the one before.
        if not self._labels or self._labels[-1] != labels:
            self._labels.append(labels)
        return len(self._labels) - 1

    def _heldout(self, sections: list[Section], first: int) -> list[bool]:
        if self._splits_sections is None:
            self._splits_sections = len({section.source for section in sections}) == 1
            if self._splits_sections and self.config.holdout_fraction > 0:
                get_display().say(f"{self.config.source}: one source only, so its sections are split into training and held-out")
        names = [f"section {first + i}" if self._splits_sections else section.source for i, section in enumerate(sections)]
        return self._holdout.assign(names, [section.labels.get("domain", "") for section in sections])

    def _spill_folder(self) -> Path:
        if self._folder is None:
            holder = tempfile.TemporaryDirectory(prefix="monoseme-tokens-", ignore_cleanup_errors=True)
            weakref.finalize(self, holder.cleanup)
            self._folder = Path(holder.name)
        return self._folder


def _resolved(config: CorpusConfig, tokenizer: TextTokenizer) -> CorpusConfig:
    config = with_sentences(config)
    if config.chat == "human_assistant" and config.chat_template is None and not tokenizer.has_chat_template:
        config = replace(config, chat_template=AS_WRITTEN)
    if config.bos == "auto":
        return replace(config, bos="never" if tokenizer.bos_id is None else "always")
    if config.bos != "never" and tokenizer.bos_id is None:
        raise ConfigError(f'bos is "{config.bos}", but this tokenizer has no BOS token.\n  Set bos to "never" or "auto".')
    return config
