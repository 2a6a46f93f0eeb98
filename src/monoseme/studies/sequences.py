"""Which latents follow what a long text is about: the strongest ones over concatenated passages, and how fast codes switch.

Passages of different documents stand one after the other; every part of every SAE is drawn over one such text, and measured over
many of them. Source: T-SAE, arXiv:2511.05541, figures 1 and 4: latents over a concatenation, which its code leaves out. The
numbers beside the pictures are ours (`_sequences.metrics`).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np

from monoseme.core.display import get_display
from monoseme.core.errors import ConfigError
from monoseme.evaluation import DocumentWeights
from monoseme.evaluation._csr import Csr
from monoseme.studies._base import Comparison, Finding, Row, Study, StudyResult
from monoseme.studies._explained import Explained, explanations_of
from monoseme.studies._intervals import Interval, of_replicates
from monoseme.studies._labels import asked, with_label
from monoseme.studies._pairs import difference_rows, is_high_less_low
from monoseme.studies._sequences.figures import (
    ShownLatent,
    ShownText,
    activity_lines,
    activity_map,
    following,
    switching,
)
from monoseme.studies._sequences.metrics import Following, TextSums
from monoseme.studies._sequences.passages import LongText, PassagePlan, sampled_texts, text_of_files
from monoseme.studies._sequences.sums import Spread, Track, spread
from monoseme.studies._texts import CodedText, coded_texts
from monoseme.studies._workbench import OF_RUN, SHORT_FLAGS, SaeStudyConfig, Subject, Workbench, with_parts_there

_PARTS = ("all", "high", "low")
_RULES = {"mass": "the largest summed activation", "between": "the most variance between passages"}
_TEXT = """\
{n_texts} texts of {n_passages} passages of {n_tokens} tokens on average, each passage the beginning of another document,
neighbours of different topics; contexts of {context_len} tokens. Which latents are drawn is a rule: those with {rule} on
the drawn text.

- *eta_squared_corrected*: share of the variance of the code between passages, beyond what borders moved along the text would
  give: what a code owes to slowness, to the position in the context or to chance is not counted.
- *passage_border_change*, *context_border_change*: how much the code changes at a border, relative to places without one. A
  context that ends is a change too: borders of passages are measured inside contexts only.
- *switch_tokens*: tokens that pass after a change of passage before the code has gone over to the new one.
"""


class Sequences(Study):
    """The strongest latents over a text that changes its topic, and how fast codes follow the change."""

    @dataclass(frozen=True, kw_only=True)
    class Config(SaeStudyConfig):
        """Which texts, and what is drawn of them."""

        part: tuple[str, ...] = _PARTS
        """Parts of their codes, each compared by itself: all, high, low, predicted, novel, or the number of a group. An SAE that
        lacks a part is left out of that part only; by default, parts that none has are left out too."""
        text: tuple[str, ...] = ()
        """A text of your own to draw: one file with passages parted by `marker`, or a file for each passage. None: the first of
        the sampled texts."""
        marker: str | None = None
        """Line that parts the passages of one file (None: a blank line)."""
        n_texts: int = 32
        """Sampled texts that the numbers are from (count); 0: a text of your own is drawn, nothing is measured."""
        n_passages: int = 6
        """Passages of a sampled text (count)."""
        passage_tokens: int = 80
        """Mean length of a passage (tokens); lengths are drawn between 0.6 and 1.4 times that."""
        label: str = "domain"
        """Label of documents that says what they are about; documents without it differ by their source."""
        site: str | None = None
        """For an SAE with codes at several sites: which one (None: its first)."""
        rank_by: Literal["mass", "between"] = "mass"
        """Which latents are drawn: those with the largest summed activation on the text, or with the most variance between its
        passages."""
        n_latents: int = 10
        """Latents in a picture, of each part (count)."""
        n_lines: int = 4
        """Of these, the ones drawn as lines (count)."""
        smooth: int = 9
        """Tokens that a smoothed line is a mean over (count)."""
        window: int = 8
        """Tokens on either side of a border whose mean codes are compared (count)."""
        reach: int = 16
        """Tokens before and after a change of passage in which the switch is followed (count)."""
        n_shifts: int = 12
        """Times that borders are moved along a text, for the share of variance by chance (count)."""
        n_replicates: int = 400
        """Of the bootstrap over texts (count)."""
        seed: int = 0
        """Of the texts and the bootstrap."""

        def __post_init__(self) -> None:
            super().__post_init__()
            for name in ("passage_tokens", "n_latents", "n_lines", "smooth", "window", "n_shifts"):
                if getattr(self, name) < 1:
                    raise ConfigError(f"{name} is {getattr(self, name)}; it must be at least 1")
            for name, least in (("n_passages", 2), ("reach", 4), ("n_texts", 0 if self.text else 1), ("n_replicates", 0)):
                if getattr(self, name) < least:
                    raise ConfigError(f"{name} is {getattr(self, name)}; it must be at least {least}")
            if self.marker is not None and len(self.text) != 1:
                raise ConfigError("marker parts the passages of one file.\n  Give one file with --text, or leave marker out.")

    config: Config
    short_flags: ClassVar = SHORT_FLAGS

    def investigate(self, work: Path) -> StudyResult:
        """Draws one text and measures the sampled ones."""
        del work  # a pass over a few texts is nothing to resume
        bench = with_parts_there(replace(self.config, corpus=with_label(self.config.corpus, asked(self.config.label))), _PARTS)
        texts = _Texts.of(bench, self.config)
        measured = _measure(bench, texts, self.config)
        numbers = list(_numbers(bench.subjects, measured.sums))
        switched = list(_switched(bench.subjects, measured.sums, self.config.reach))
        shown = [_chosen(subject, measured, self.config, texts.said) for subject in bench.subjects]
        figures = [figure for sae in dict.fromkeys(s.sae_name for s in bench.subjects) for figure in texts.figures(sae, shown)]
        if numbers:
            figures += [following(numbers), switching(switched)] if switched else [following(numbers)]
        replicates = {name: sums.replicates() for name, sums in measured.sums.items() if sums.n_texts}
        differences = list(difference_rows(bench.subjects, replicates, _COMPARED))
        return StudyResult(
            title="Latents over texts that change their topic",
            text=_TEXT.format(
                n_texts=len(texts.sampled),
                n_passages=self.config.n_passages,
                n_tokens=self.config.passage_tokens,
                context_len=bench.materials.text.config.context_len,
                rule=_RULES[self.config.rank_by],
            ),
            tables={
                "numbers": numbers,
                "differences": differences,
                "latents": [row for each in shown for row in each.rows],
                "switching": switched,
                "passages": texts.rows(),
            },
            shown={"latents": ("subject", "latent", "mass", "eta_squared", "eta_squared_corrected", "explanation")},
            metrics={name: sums.metrics() for name, sums in measured.sums.items() if sums.n_texts},
            figures=figures,
            findings=_findings(differences) if numbers else (),
            inputs=bench.inputs(),
            seeds={"texts": self.config.seed},
        )


class _Texts(NamedTuple):
    """The text that is drawn and those that are measured."""

    drawn: LongText
    sampled: list[LongText]
    drawn_is_sampled: bool
    tokens: list[str]
    config: Sequences.Config
    context_starts: tuple[int, ...]
    said: Explained

    @classmethod
    def of(cls, bench: Workbench, config: Sequences.Config) -> "_Texts":
        """Raises what `sampled_texts` and `text_of_files` raise."""
        store = bench.materials.text
        heldout = config.corpus.source == OF_RUN and store.config.holdout_fraction > 0
        paths = [Path(path) for path in config.text]
        own = text_of_files(paths, store.tokenizer, marker=config.marker) if paths else None  # first: it may not be readable
        plan = PassagePlan(config.n_texts, config.n_passages, config.passage_tokens, config.label, heldout, config.seed)
        sampled = sampled_texts(store, plan)
        if len(sampled) < config.n_texts:
            get_display().warn(f"the documents suffice for {len(sampled)} texts of the {config.n_texts} asked for")
        drawn = sampled[0] if own is None else own
        every = store.config.context_len - int(store.config.bos == "always" and store.tokenizer.bos_id is not None)
        starts = set(drawn.starts.tolist())
        cuts = tuple(at for at in range(every, len(drawn.ids), every) if at not in starts)
        tokens = bench.model.decode_tokens(drawn.ids)
        return cls(drawn, sampled, own is None, tokens, config, cuts, explanations_of(config.sae, bench.found))

    @property
    def all(self) -> list[LongText]:
        """The drawn text first."""
        return self.sampled if self.drawn_is_sampled else [self.drawn, *self.sampled]

    def figures(self, sae: str, shown: "Sequence[_Shown]") -> Iterator[Any]:
        """The pictures of one SAE."""
        held = [each for each in shown if each.subject.sae_name == sae]
        text = self._shown()
        rule = _RULES[self.config.rank_by]
        latents = [latent for each in held for latent in each.latents]
        if latents:
            yield activity_map(sae, text, latents, rule=rule)
            first = [latent for each in held for latent in each.latents[: self.config.n_lines]]
            yield activity_lines(sae, text, first, smooth=self.config.smooth, rule=rule)

    def rows(self) -> list[Row]:
        """The passages of all texts."""
        return [
            {"text": i, "is_drawn": text is self.drawn, "start": int(start), "n_tokens": len(p.ids), "topic": p.topic}
            for i, text in enumerate(self.all)
            for start, p in zip(text.starts, text.passages, strict=True)
        ]

    def _shown(self) -> ShownText:
        starts = self.drawn.starts.tolist()
        ends = [*starts[1:], len(self.drawn.ids)]
        passages = [(a, b, p.topic) for a, b, p in zip(starts, ends, self.drawn.passages, strict=True)]
        return ShownText(self.tokens, passages, self.context_starts)


class _Measured(NamedTuple):
    sums: dict[str, TextSums]
    """Subject -> sums over the sampled texts."""
    drawn: CodedText
    passage: np.ndarray
    """Of each coded token of the drawn text."""


def _measure(bench: Workbench, texts: _Texts, config: Sequences.Config) -> _Measured:
    weights = DocumentWeights(n_replicates=config.n_replicates, seed=config.seed)
    sums = {s.name: TextSums(weights, Following(config.n_shifts, config.window, config.reach)) for s in bench.subjects}
    every = texts.all
    drawn: CodedText | None = None
    with get_display().progress("texts", total=len(every), unit="texts") as progress:
        for coded in coded_texts(bench, [text.ids for text in every], site=config.site):
            drawn = coded if coded.text == 0 else drawn
            if coded.text or texts.drawn_is_sampled:
                passage = _passage_of(every[coded.text], coded)
                for subject in bench.subjects:
                    sums[subject.name].add(coded.text, Track(coded.codes[subject.name], passage, coded.context))
            progress.advance()
    if drawn is None:
        raise ConfigError("the text to draw has no token that the SAEs see: all of them are special tokens")
    return _Measured(sums, drawn, _passage_of(texts.drawn, drawn))


def _passage_of(text: LongText, coded: CodedText) -> np.ndarray:
    return np.searchsorted(text.starts, coded.position, side="right") - 1


class _Shown(NamedTuple):
    """The latents of one subject that are drawn."""

    subject: Subject
    latents: list[ShownLatent]
    rows: list[Row]


def _chosen(subject: Subject, measured: _Measured, config: Sequences.Config, said: Explained) -> _Shown:
    codes = measured.drawn.codes[subject.name]
    mass = np.asarray(abs(codes).sum(axis=0)).ravel()
    of_text = spread(Track(codes, measured.passage, measured.drawn.context), n_shifts=config.n_shifts)
    rank = mass if config.rank_by == "mass" else of_text.between
    order = np.argsort(-rank, kind="stable")
    chosen = [int(latent) for latent in order[: config.n_latents] if mass[latent] > 0]
    over_texts = measured.sums[subject.name].latents
    latents = [
        ShownLatent(subject.word, latent, said.of(subject.sae_name, latent), _values(codes, latent, measured.drawn))
        for latent in chosen
    ]
    rows: list[Row] = [
        {
            "subject": subject.name,
            "latent": latent,
            "mass": float(mass[latent]),
            "n_tokens": int((codes[:, [latent]] != 0).sum()),
            **_eta(of_text, latent, ""),
            **({} if over_texts is None else _eta(over_texts, latent, "_over_texts")),
            "explanation": said.of(subject.sae_name, latent),
        }
        for latent in chosen
    ]
    return _Shown(subject, latents, rows)


def _values(codes: Csr, latent: int, drawn: CodedText) -> np.ndarray:
    values = np.zeros(int(drawn.position[-1]) + 1)
    values[drawn.position] = codes[:, [latent]].toarray()[:, 0]
    return values


def _eta(sums: Spread, latent: int, suffix: str) -> Row:
    total, between, shifted = (float(each[latent]) for each in sums)
    return {
        f"eta_squared{suffix}": between / total if total > 0 else None,
        f"eta_squared_corrected{suffix}": (between - shifted) / (total - shifted) if total > shifted else None,
    }


def _numbers(subjects: Sequence[Subject], sums: dict[str, TextSums]) -> Iterator[Row]:
    for subject in subjects:
        if sums[subject.name].n_texts:
            replicates = sums[subject.name].replicates()
            for metric in sums[subject.name].metrics():
                told = _ends(of_replicates(replicates[metric.name])) if metric.value is not None else {"low": None, "high": None}
                yield {
                    "subject": subject.name,
                    "sae": subject.sae_name,
                    "part": subject.word,
                    "metric": metric.name,
                    "value": metric.value,
                    **told,
                    "n": metric.n,
                    "why_missing": metric.why_missing,
                }


def _ends(interval: Interval) -> Row:
    return {"low": interval.low, "high": interval.high}


def _switched(subjects: Sequence[Subject], sums: dict[str, TextSums], reach: int) -> Iterator[Row]:
    for subject in subjects:
        held = sums[subject.name]
        if held.n_texts and np.isfinite(held.replicates()["switch_tokens"][0]):
            for token, values in zip(range(-reach, reach), held.switching().T, strict=True):
                interval = of_replicates(values)
                ends = _ends(interval)
                yield {"sae": subject.sae_name, "part": subject.word, "token": token, "value": interval.value, **ends}


_COMPARED = ("eta_squared_corrected", "passage_border_change", "context_border_change", "passage_distance", "switch_tokens")


def _findings(differences: Sequence[Row]) -> list[Finding]:
    pairs = [row for row in differences if row["metric"] == "eta_squared_corrected" and is_high_less_low(row)]
    comparisons = tuple(
        Comparison(
            row["low"] is not None and row["low"] > 0,
            f"{row['a']} less {row['b']}: {Interval(row['a_minus_b'], row['low'], row['high'], 'too few texts')}",
        )
        for row in pairs
    )
    claim = (
        "High-level latents stay with a passage and change with the topic, low-level ones follow the tokens (T-SAE, "
        "arXiv:2511.05541, figures 1 and 4): more of the high group's variance lies between passages."
    )
    return [Finding(claim, comparisons, "" if comparisons else "No SAE was given with both its high and its low part.")]
