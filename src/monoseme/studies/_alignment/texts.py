"""The texts of groups, tokenised: which tokens of each count, and what each is compared with."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from monoseme.core.display import get_display
from monoseme.core.errors import ConfigError, EmptyCorpusError
from monoseme.core.seeds import derive_seed
from monoseme.studies._alignment.groups import PER_FIELD, GroupsConfig
from monoseme.studies._workbench import OF_RUN, Workbench
from monoseme.text import ROLES, CorpusConfig, TokenStore
from monoseme.text.document import role_code
from monoseme.text.sections import Tokens

LEAST_UNITS = 8
"""Pairs, or sources of a group: with fewer no rank test can reach a small p."""
_MOST_GROUPS = 20
_MOST_TOKENS = 511
_WHOLE = 1 << 30
"""Section length (tokens) at which no text is cut."""
_BUNDLED_TOKENS = 1_000_000
_DOMAIN = "domain"


class Text(NamedTuple):
    """One text of a group. Letters: n tokens."""

    ids: NDArray[np.int64]
    """[n] as the model reads it, without BOS."""
    counts: NDArray[np.bool_]
    """[n] tokens that are compared."""
    group: int
    unit: int
    """The pair it belongs to; or its source: all texts that a group has of one source are one observation."""
    row: int
    """Row of its file."""
    numbers: tuple[float, ...]
    """The confounds that are columns."""


class Collected(NamedTuple):
    """The groups."""

    names: tuple[str, ...]
    texts: list[Text]
    is_paired: bool
    corpus: CorpusConfig
    """How the texts become contexts, each in one of its own."""
    left_out: dict[str, int]
    """Why -> texts or pairs."""

    @property
    def n_units(self) -> list[int]:
        """Pairs, or sources of each group."""
        return [len({text.unit for text in self.texts if text.group == g}) for g in range(len(self.names))]


def collect(config: GroupsConfig, bench: Workbench) -> Collected:
    """Reads and tokenises the groups. Raises ConfigError for groups that are not there or too small, and what reading raises."""
    reader = _Reader(config, bench)
    found = reader.pairs() if config.fields else reader.files() if config.groups else reader.labelled()
    few = [f"{name} ({n})" for name, n in zip(found.names, found.n_units, strict=True) if n < LEAST_UNITS]
    if few:
        what = "pairs" if found.is_paired else "texts of different sources"
        told = "".join(f"\n  Left out: {n:,} {why}." for why, n in found.left_out.items() if n)
        raise ConfigError(f"too few {what} to compare: {', '.join(few)}; at least {LEAST_UNITS} are needed.{told}")
    return found


class _Reader:
    """Reads the groups of one study."""

    def __init__(self, config: GroupsConfig, bench: Workbench) -> None:
        self._config, self._bench = config, bench
        most = bench.model.spec.n_positions
        limit = _MOST_TOKENS if most is None else min(_MOST_TOKENS, most - 1)
        self._length = config.text_tokens or limit
        if most is not None and self._length >= most:
            raise ConfigError(
                f"text_tokens is {self._length}, but the model reads {most} positions, one of them for BOS.\n"
                f"  Give at most {most - 1}, or leave it out."
            )
        self._role_codes = None if config.corpus.only_roles is None else [role_code(role) for role in config.corpus.only_roles]
        self._left_out: dict[str, int] = {}

    def pairs(self) -> Collected:
        """Two columns of one row; a pair whose one side is empty, or says nothing new, is left out."""
        stores = {name: self._store(corpus) for name, corpus in self._config.corpora().items()}
        rows = [{store.document_row(i): i for i in range(store.n_documents)} for store in stores.values()]
        both = sorted(rows[0].keys() & rows[1].keys())
        self._leave_out("rows with one text only", len(rows[0].keys() ^ rows[1].keys()))
        made: list[Text] = []
        for unit, row in enumerate(self._drawn(both, "pairs")):
            sides = [(store, held[row]) for store, held in zip(stores.values(), rows, strict=True)]
            tokens = [store.document_tokens(i) for store, i in sides]
            shared = _shared_length(tokens[0], tokens[1])
            numbers = [self._numbers(store, i, name) for (store, i), name in zip(sides, stores, strict=True)]
            kept = _kept([len(each.ids) for each in tokens], shared, self._length)
            pair = [self._text(tokens[g], shared, kept)._replace(group=g, unit=unit, row=row, numbers=numbers[g]) for g in (0, 1)]
            if all(text.counts.any() for text in pair):
                made += pair
            else:
                self._leave_out("pairs of which one text has no token that counts", 1)
        return self._collected(list(stores), made, next(iter(stores.values())), is_paired=True)

    def files(self) -> Collected:
        """A text for each group."""
        stores = {name: self._store(corpus) for name, corpus in self._config.corpora().items()}
        made: list[Text] = []
        for g, (name, store) in enumerate(stores.items()):
            made += self._group(store, range(store.n_documents), g, name)
        return self._collected(list(stores), made, next(iter(stores.values())))

    def labelled(self) -> Collected:
        """One text whose documents have labels."""
        store, held = self._labelled_store()
        label = self._config.label or _DOMAIN
        of_label: dict[str, list[int]] = {}
        for i in held:
            value = store.document_labels(i).get(label)
            if value is None:
                self._leave_out(f'without a "{label}"', 1)
            else:
                of_label.setdefault(value, []).append(i)
        names = self._chosen(sorted(of_label), label)
        made: list[Text] = []
        for g, name in enumerate(names):
            made += self._group(store, of_label[name], g, name)
        return self._collected(names, made, store)

    def _labelled_store(self) -> tuple[TokenStore, Sequence[int]]:
        config = self._config
        if config.corpus.source != OF_RUN:
            label = config.label or _DOMAIN
            is_ours = label == _DOMAIN and config.corpus.source.startswith("bundled")
            columns = (*config.corpus.label_fields, *(() if is_ours else (label,)), *config.own_confounds)
            store = self._store(replace(config.corpus, label_fields=tuple(dict.fromkeys(columns))))
            return store, range(store.n_documents)
        store = self._bench.materials.text
        held = [i for i in range(store.n_documents) if store.is_heldout(i)]
        if config.label is None and len({store.document_labels(i).get(_DOMAIN) for i in held} - {None}) < 2:
            get_display().say("the run's text has no domains; the groups are the domains of the bundled text")
            store = TokenStore.build(CorpusConfig(), self._bench.model.tokenizer, max_tokens=_BUNDLED_TOKENS)
            held = range(store.n_documents)
        return store, held

    def _store(self, corpus: CorpusConfig) -> TokenStore:
        whole = replace(corpus, section_tokens=_WHOLE, holdout_fraction=0.0)
        return TokenStore.build(whole, self._bench.model.tokenizer)

    def _chosen(self, found: Sequence[str], label: str) -> list[str]:
        if not found:
            raise ConfigError(f'no text has a label "{label}".\n  Name another column with --label.')
        wanted = list(dict.fromkeys(self._config.only)) or list(found)
        told = ", ".join(found[:_MOST_GROUPS]) + (", ..." if len(found) > _MOST_GROUPS else "")
        if missing := [name for name in wanted if name not in found]:
            raise ConfigError(f"no text has the {label} {', '.join(missing)}.\n  There are: {told or 'none'}")
        if not 2 <= len(wanted) <= _MOST_GROUPS:
            raise ConfigError(
                f'the label "{label}" makes {len(wanted)} groups; 2 to {_MOST_GROUPS} can be compared.\n'
                f"  There are: {told}. Choose with --only A,B, or another --label COLUMN."
            )
        return wanted

    def _group(self, store: TokenStore, documents: Sequence[int], group: int, name: str) -> Iterator[Text]:
        for i in self._drawn(documents, name):
            tokens = store.document_tokens(i)
            text = self._text(tokens, 0, slice(0, self._length))
            if text.counts.any():
                unit, numbers = store.document_source(i), self._numbers(store, i, name)
                yield text._replace(group=group, unit=unit, row=store.document_row(i), numbers=numbers)
            else:
                self._leave_out("texts without a token that counts", 1)

    def _drawn(self, items: Sequence[int], name: str) -> list[int]:
        """At most `max_texts` of them, in their order."""
        most = self._config.max_texts
        if most is None or len(items) <= most:
            return list(items)
        rng = np.random.default_rng(derive_seed(self._config.seed, "alignment", name))
        return [items[i] for i in np.sort(rng.choice(len(items), most, replace=False))]

    def _text(self, tokens: Tokens, shared: int, kept: slice) -> Text:
        counts = np.ones(len(tokens.ids), dtype=bool)
        if self._config.tokens == "last_turn" and tokens.turns is not None and tokens.roles is not None:
            counts = (tokens.turns == tokens.turns.max(initial=0)) & (tokens.roles != ROLES.index("template"))
        elif self._config.tokens in ("auto", "differing"):
            counts[:shared] = False
        if self._role_codes is not None and tokens.roles is not None:
            counts &= np.isin(tokens.roles, self._role_codes)
        return Text(tokens.ids[kept].astype(np.int64), counts[kept], 0, 0, 0, ())

    def _numbers(self, store: TokenStore, document: int, field: str) -> tuple[float, ...]:
        labels, found = store.document_labels(document), []
        for name in (column.replace(PER_FIELD, field) for column in self._config.own_confounds):
            try:
                number = float(labels[name])
            except (KeyError, ValueError) as error:
                said = f'"{labels[name]}"' if name in labels else "nothing"
                row = store.document_row(document) + 1
                raise ConfigError(
                    f'the confound "{name}" is {said} in row {row} of {store.config.source}; it must be a number in every row.'
                ) from error
            if not np.isfinite(number):
                raise ConfigError(f'the confound "{name}" is {number} in row {store.document_row(document) + 1}')
            found.append(number)
        return tuple(found)

    def _leave_out(self, why: str, n: int) -> None:
        self._left_out[why] = self._left_out.get(why, 0) + n

    def _collected(self, names: Sequence[str], texts: list[Text], store: TokenStore, *, is_paired: bool = False) -> Collected:
        if not texts:
            raise EmptyCorpusError(f"no text of {', '.join(names)} has a token that counts")
        corpus = replace(store.config, context_len=max(2, self._length + 1))
        return Collected(tuple(names), texts, is_paired, corpus, self._left_out)


def _shared_length(a: Tokens, b: Tokens) -> int:
    """Tokens that both begin with."""
    n = min(len(a.ids), len(b.ids))
    differs = np.flatnonzero(a.ids[:n] != b.ids[:n])
    return int(differs[0]) if len(differs) else n


def _kept(lengths: Sequence[int], shared: int, most: int) -> slice:
    """What is kept of both texts of a pair: tokens of the common beginning go first, then what is too long of the ends.

    Half of the room stays with the common beginning, where there is so much: the model needs to know what is answered.
    """
    surplus = max(max(lengths) - most, 0)
    cut = min(surplus, max(shared - most // 2, 0))
    return slice(cut, cut + most)
