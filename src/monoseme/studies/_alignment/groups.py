"""How a user names groups of texts: two columns of a row, a label, or a file for each group."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from monoseme.core.errors import ConfigError
from monoseme.studies._workbench import OF_RUN, SaeStudyConfig
from monoseme.text import CorpusConfig

MEASURED = ("length", "position")
"""Confounds that are counted from the tokens themselves; any other is a column of the text."""
PER_FIELD = "{field}"
"""In the name of a confound of pairs: stands for each of the two columns."""
_NO_CONFOUNDS = "none"


@dataclass(frozen=True, kw_only=True)
class GroupsConfig(SaeStudyConfig):
    """Which texts, and which of their tokens, are compared."""

    fields: tuple[str, ...] = ()
    """Two columns of the text that are the two sides of a pair: chosen,rejected. Compared row by row."""
    label: str | None = None
    """Column that says which group a text belongs to (None: domain, unless fields or groups name the groups)."""
    groups: tuple[str, ...] = ()
    """A file, folder or hub dataset for each group, instead of one text for all; the settings of corpus hold for each."""
    only: tuple[str, ...] = ()
    """Values of the label that are compared, in this order (none named: all, by name)."""
    tokens: Literal["auto", "all", "differing", "last_turn"] = "auto"
    """Tokens that count: all of a text, those after what the two texts of a pair begin with alike (differing), or those of the
    last turn of a conversation. auto: differing for pairs, else all."""
    confounds: tuple[str, ...] = ("length", "position")
    """What is held fixed: length (logarithm of the tokens that count), position (their mean place in the text), and columns that
    hold a number; for pairs with the column's name in it, as score_{field}. "none": nothing."""
    max_texts: int | None = 500
    """Texts of each group, or pairs, drawn at random where there are more (count; None: all)."""
    text_tokens: int | None = None
    """Tokens read of a text: its first ones, of a pair those around and after the difference (None: as many as the model takes,
    at most 511)."""
    seed: int = 0
    """Of the draw of texts."""

    def __post_init__(self) -> None:
        """Raises ConfigError for groups named twice or not at all, and for what would not be used."""
        self._check_groups()
        if not self.groups:
            super().__post_init__()
        if self.fields and len(set(self.fields)) != 2:
            raise ConfigError(
                f"fields names {', '.join(self.fields)}; a pair has two different columns.\n"
                "  Compare two at a time, or name more groups with --label or --groups."
            )
        if (self.fields or self.groups) and self.corpus.label_fields == () and self.only:
            raise ConfigError("only names values of a label, but the groups are named otherwise.\n  Leave it out.")
        if self.tokens == "differing" and not self.fields:
            raise ConfigError('tokens is "differing", which pairs only have.\n  Name two columns with --fields, or use "all".')
        if self.tokens == "last_turn" and self.corpus.chat == "none":
            raise ConfigError(
                'tokens is "last_turn", but the text is not read as conversations.\n'
                "  Give --corpus.chat human_assistant or --corpus.chat messages."
            )
        self._check_confounds()
        for name in ("max_texts", "text_tokens"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ConfigError(f"{name} is {value}; it must be at least 1")

    def _check_groups(self) -> None:
        ways = {"--fields": self.fields, "--label": self.label, "--groups": self.groups}
        said = [way for way, value in ways.items() if value]
        if len(said) > 1:
            raise ConfigError(f"{' and '.join(said)} both name groups.\n  Give one of them.")
        if self.fields and self.corpus.source == OF_RUN:
            raise ConfigError("fields names two columns, but of no text.\n  Give the file with --corpus FILE.")
        if self.groups and self.corpus.source != OF_RUN:
            raise ConfigError("groups names a text for each group, so corpus has no use.\n  Give --groups A,B or --corpus FILE.")
        if len(self.groups) == 1 or len(set(self.groups)) < len(self.groups):
            raise ConfigError(f"groups names {', '.join(self.groups)}; give two or more different texts.")

    def _check_confounds(self) -> None:
        for name in self.own_confounds:
            if self.fields and PER_FIELD not in name:
                raise ConfigError(
                    f'both texts of a pair share the column "{name}", so it cannot make them differ.\n'
                    f'  Name a column for each, such as "{name}_{PER_FIELD}", or leave it out.'
                )
            if not self.fields and PER_FIELD in name:
                raise ConfigError(f'"{name}" is for pairs, and there are none.\n  Name two columns with --fields, or one number.')

    @property
    def held_fixed(self) -> tuple[str, ...]:
        """The confounds, each once."""
        return tuple(dict.fromkeys(name for name in self.confounds if name != _NO_CONFOUNDS))

    @property
    def own_confounds(self) -> tuple[str, ...]:
        """Those that are columns."""
        return tuple(name for name in self.held_fixed if name not in MEASURED)

    def corpora(self) -> dict[str, CorpusConfig]:
        """Group -> its text, where each has one of its own; empty where a label tells them apart."""
        if self.fields:
            numbers = {f: tuple(c.replace(PER_FIELD, f) for c in self.own_confounds) for f in self.fields}
            labels = self.corpus.label_fields
            return {f: replace(self.corpus, field=f, label_fields=(*labels, *numbers[f])) for f in self.fields}
        own = replace(self.corpus, label_fields=(*self.corpus.label_fields, *self.own_confounds))
        return {name: replace(own, source=word) for name, word in zip(group_names(self.groups), self.groups, strict=True)}

    def of_bench(self) -> SaeStudyConfig:
        """The SAEs, the model, and a text that a corpus can be made of: the first group's, or the one with the labels."""
        corpus = next(iter(self.corpora().values()), self.corpus)
        return SaeStudyConfig(sae=self.sae, part=self.part, model=self.model, corpus=corpus)


def group_names(words: Sequence[str]) -> list[str]:
    """Short names of texts: what follows "bundled:", the file's name without its endings, or the whole word for two alike."""
    short = [word.partition(":")[2] or Path(word).name.partition(".")[0] or word for word in words]
    return [name if short.count(name) == 1 else word for name, word in zip(short, words, strict=True)]
