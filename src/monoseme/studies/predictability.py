"""What the context predicts of activations, what is new, and whether the predicted part follows the events of a text (TFA).

For TFA, and any SAE whose codes have the parts predicted and novel; other SAEs in the list are compared where a number makes
sense for them. Four questions:

- how much each part gives back and explains, alone and together, how many directions its codes take, how fast they change;
- whether codes of one event are alike, and change where one event ends and the next begins;
- whether the parts shift at the word that shows a garden-path sentence to be one;
- what a text looks like to each code: token against token, as a way through space, and in the attention that predicts it.

Source: "Priors in Time: Missing Inductive Biases for Language Model Interpretability", arXiv:2511.01836, and its demonstration.
The experiments on events and garden paths are ours: theirs are not published as code.
Letters: T tokens of a text, F latents, H heads.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from monoseme.core.display import get_display
from monoseme.core.errors import ConfigError
from monoseme.core.files import hash_file
from monoseme.evaluation import DocumentWeights, Metric
from monoseme.evaluation.predicted_share import PredictedShare
from monoseme.reports.figures import Figure
from monoseme.studies._base import Row, Study, StudyResult
from monoseme.studies._predictability import figures as one_text
from monoseme.studies._predictability import overview as overview
from monoseme.studies._predictability.attention import attention_rows
from monoseme.studies._predictability.events import EventMeasures, Layout, layout, measure, novelty, similarity, text_seed
from monoseme.studies._predictability.findings import findings
from monoseme.studies._predictability.garden import MEASURES, Effect, PairRead, effects, pair_rows
from monoseme.studies._predictability.reads import Reader, Reading
from monoseme.studies._predictability.shares import Share, measure_shares, share_rows
from monoseme.studies._predictability.summary import Mean, effect_metrics, effect_rows, event_metrics, mean_rows, means
from monoseme.studies._predictability.texts import EventText, Texts, own_texts, read_texts
from monoseme.studies._predictability.trajectory import Method, trajectory
from monoseme.studies._workbench import SHORT_FLAGS, SaeStudyConfig, Workbench, with_parts_there

_PARTS = ("all", "predicted", "novel")
_TRAIN = "monoseme train --sae tfa --sae.n_latents 1024 --sae.k 16 --train.n_tokens 100000 --out runs/tfa"
_TEXT = """\
An SAE such as TFA writes activations as *predicted* (what the context proposes) plus *novel* (a sparse code of the rest). The
query and the size of the predicted part use the token itself, so "predicted" is the direction that the context proposes, not a
forecast made without the token.

Shares and ranks are from {tokens} of held-out text, with intervals over documents. Events are those of {n_events} texts
({n_boundaries} boundaries), with intervals over texts; garden paths of {n_pairs} pairs of sentences, with intervals over pairs. A
difference counts where its whole 95 % interval is on one side.

- *novelty* of a gap: mean cosine of the centred codes of the {window} tokens before it and of the {window} after it, each among
  themselves, less the mean cosine between the two.
- *auroc_ends* and *sharpness_ends* compare event boundaries with ends of sentences inside events: what only follows punctuation
  or the length of sentences has 0.5 and 0. *event_gap* compares tokens equally far apart, and the text with itself cut elsewhere:
  what only drifts has about 0.
- Garden path and control have the same word at the same place; the token before it is where nothing should differ yet.
"""


class _Read(NamedTuple):
    """A text of events, as the SAEs read it."""

    text: EventText
    reading: Reading
    places: Layout


class Predictability(Study):
    """What the context predicts of activations, and whether that follows the events of a text and ends garden paths."""

    @dataclass(frozen=True, kw_only=True)
    class Config(SaeStudyConfig):
        """The SAEs, the texts, and how they are compared."""

        part: tuple[str, ...] = _PARTS
        """Parts of their codes, each compared by itself: all, high, low, predicted, novel, or the number of a group. An SAE that
        lacks a part is left out of that part only; by default, parts that none has are left out too."""
        events: str | None = None
        """JSON lines with texts of events and garden-path pairs (their form: docs/studies/predictability.md). None: those of the
        package, in English."""
        window: int = 8
        """Tokens on either side of a gap that are compared (count)."""
        tolerance: int = 2
        """How far from a boundary a change may be detected (tokens)."""
        start_tokens: int = 20
        """Gaps with fewer tokens before them are left out: codes move fastest where a text begins (count)."""
        n_shown: int = 2
        """Texts of events drawn one by one, the first of the file (count)."""
        shown_tokens: int = 160
        """Tokens of a text that are drawn, from its start (count)."""
        trajectory: Method = "umap"
        """Map of a text's way: umap (as the demonstration's, some seconds), pca (at once)."""
        share: PredictedShare.Config = field(default_factory=lambda: PredictedShare.Config(max_tokens=32_768))
        """How shares and ranks are measured."""
        n_replicates: int = 1000
        """Replicates of the bootstrap over texts (count)."""
        seed: int = 0
        """Of the bootstrap over texts, and of chance levels."""

        def __post_init__(self) -> None:
            super().__post_init__()
            for name, least in (
                ("window", 2),
                ("tolerance", 0),
                ("start_tokens", 0),
                ("n_shown", 0),
                ("shown_tokens", 2),
                ("n_replicates", 2),
            ):
                if getattr(self, name) < least:
                    raise ConfigError(f"{name} is {getattr(self, name)}; it must be at least {least}")

    config: Config
    short_flags = SHORT_FLAGS

    def investigate(self, work: Path) -> StudyResult:
        """Measures the SAEs on held-out text, then reads the texts with them. Raises BadRowError for a file of another form."""
        config = self.config
        file = own_texts() if config.events is None else Path(config.events)
        texts = read_texts(file)
        bench = _bench(config)
        shares = measure_shares(bench.eval_subjects(parts=False), config.share, work / "shares")
        read, pairs = self._read(bench, texts)
        found = self._events(read)
        rows = [row for pair in pairs for row in pair_rows(pair)]
        changed = effects(rows)
        against = next((f"{share.sae} (predicted)" for share in shares if share.has_parts), None)
        return StudyResult(
            title="What the context predicts, and what is new",
            text=self._text(texts),
            tables={
                "shares": share_rows(shares),
                "events": mean_rows(found, against=against),
                "event_texts": self._text_rows(read),
                "novelty": [row for each in read for row in self._novelty_rows(each)],
                "garden_paths": effect_rows(changed),
                "garden_path_pairs": rows,
                "attention": self._attention(read),
            },
            shown={
                "shares": ("sae", "metric", "value", "low", "high"),
                "event_texts": (),
                "novelty": (),
                "garden_path_pairs": (),
            },
            metrics=_metrics(shares, found, changed),
            figures=[
                *_overview(shares, found, changed),
                *(figure for each in read[: config.n_shown] for figure in self._drawn(each)),
            ],
            findings=findings(shares, found, changed, _baseline(bench, shares)),
            inputs=bench.inputs() | {"texts": hash_file(file)},
            seeds={"bootstrap": config.seed, "documents": config.share.seed},
        )

    def _read(self, bench: Workbench, texts: Texts) -> tuple[list[_Read], list[PairRead]]:
        reader = Reader(bench)
        readings = reader.read_all([text.text for text in texts.events], "texts of events")
        read = [_Read(text, each, layout(text, each.spans)) for text, each in zip(texts.events, readings, strict=True)]
        garden = reader.read_all([pair.garden_path.text for pair in texts.pairs], "garden paths")
        control = reader.read_all([pair.control.text for pair in texts.pairs], "controls")
        return read, [PairRead(*each) for each in zip(texts.pairs, garden, control, strict=True)]

    def _measured(self, each: _Read) -> dict[str, EventMeasures]:
        config, seed = self.config, text_seed(self.config.seed, each.text.name)
        return {
            name: measure(
                codes, each.places, window=config.window, tolerance=config.tolerance, seed=seed, start=config.start_tokens
            )
            for name, codes in each.reading.codes.items()
        }

    def _events(self, read: Sequence[_Read]) -> dict[tuple[str, str], Mean]:
        measured = [self._measured(each) for each in read]
        names = list(measured[0]) if measured else []
        by_code = {name: [each[name] for each in measured] for name in names}
        return means(by_code, n_replicates=self.config.n_replicates, seed=self.config.seed)

    def _text_rows(self, read: Sequence[_Read]) -> list[Row]:
        return [
            {"text": each.text.name, "code": code}
            | {name: value if np.isfinite(value) else None for name, value in found._asdict().items()}
            for each in read
            for code, found in self._measured(each).items()
        ]

    def _novelty_rows(self, each: _Read) -> list[Row]:
        scores = self._scores(each.reading.codes)
        return [
            {"text": each.text.name, "code": code, "gap": gap, "token": each.reading.tokens[gap], "novelty": float(score)}
            | {"is_boundary": gap in each.places.boundaries, "is_sentence_end": gap in each.places.ends}
            for code, of_code in scores.items()
            for gap, score in enumerate(of_code)
            if np.isfinite(score)
        ]

    def _scores(self, codes: Mapping[str, NDArray[np.float64]]) -> dict[str, NDArray[np.float64]]:
        return {name: novelty(similarity(each), window=self.config.window) for name, each in codes.items()}

    def _attention(self, read: Sequence[_Read]) -> list[Row]:
        weights = DocumentWeights(n_replicates=self.config.n_replicates, seed=self.config.seed).of(list(range(len(read)))).numpy()
        saes = read[0].reading.maps if read else {}
        return [
            row for sae in saes for row in attention_rows(sae, [(each.reading.maps[sae], each.places) for each in read], weights)
        ]

    def _drawn(self, each: _Read) -> list[Figure]:
        """The figures of one text."""
        n = min(self.config.shown_tokens, len(each.reading.spans))
        places = Layout(each.places.event[:n], *(tuple(g for g in gaps if g < n - 1) for gaps in each.places[1:]))
        shown = one_text.Shown(each.text.name, each.reading.tokens[:n], places)
        codes = {name: of_code[:n] for name, of_code in _worth_drawing(each.reading).items()}
        made = [one_text.similarity_maps(shown, {name: similarity(of_code) for name, of_code in codes.items()})]
        if any(np.isfinite(score).any() for score in self._scores(codes).values()):
            made.append(one_text.novelty_curves(shown, self._scores(codes)))
        mapped = {name: trajectory(of_code, self.config.trajectory) for name, of_code in list(codes.items())[:2]}
        points = {name: each for name, each in mapped.items() if each is not None}
        if points:
            made.append(one_text.trajectories(shown, points, method=self.config.trajectory))
        made += [one_text.attention_heads(shown, sae, maps[..., :n, :n]) for sae, maps in each.reading.maps.items()]
        return made

    def _text(self, texts: Texts) -> str:
        config = self.config
        return _TEXT.format(
            tokens="all tokens" if config.share.max_tokens is None else f"at most {config.share.max_tokens:,} tokens",
            n_events=len(texts.events),
            n_boundaries=sum(len(text.events) - 1 for text in texts.events),
            n_pairs=len(texts.pairs),
            window=config.window,
        )


def _bench(config: Predictability.Config) -> Workbench:
    """Says so where no SAE predicts anything: whole codes are compared then."""
    bench = with_parts_there(config, _PARTS)
    if not any({"predicted", "novel"} <= set(subject.sae.parts) for subject in bench.subjects):
        get_display().warn(
            "no SAE has predicted and novel codes: there are no shares, only whole codes held against events.\n"
            f"  Train one that has, then name it too:  {_TRAIN}"
        )
    return bench


def _worth_drawing(reading: Reading) -> dict[str, NDArray[np.float64]]:
    """Four codes at most: both parts of the first SAE that has them, then activations and a code of an SAE without parts."""
    sae = next(iter(reading.parts), None)
    parts = [name for part in ("predicted", "novel") if (name := f"{sae} ({part})") in reading.codes]
    others = [n for n in reading.codes if not any(n == other or n.startswith(f"{other} (") for other in reading.parts)]
    return {name: reading.codes[name] for name in [*parts, *others[:2]]}


def _baseline(bench: Workbench, shares: Sequence[Share]) -> str | None:
    """The whole code of the first SAE that has no predicted part."""
    parted = {share.sae for share in shares if share.has_parts}
    return next((s.name for s in bench.subjects if s.sae_name not in parted and s.part is None), None)


def _overview(shares: Sequence[Share], found: Mapping[tuple[str, str], Mean], changed: Sequence[Effect]) -> list[Figure]:
    """The figures over all texts, where there is something to show."""
    made = [overview.share_figure(shares)] if any(share.has_parts for share in shares) else []
    if any(share.interval("effective_rank_all") for share in shares):
        made.append(overview.over_time_figure(shares))
    if any(np.isfinite(mean.interval.value) for (_, name), mean in found.items() if name == "auroc"):
        made += [overview.detection_figure(found), overview.similarity_figure(found)]
    return [*made, overview.garden_figure(changed)] if changed else made


def _metrics(
    shares: Sequence[Share], found: Mapping[tuple[str, str], Mean], changed: Sequence[Effect]
) -> dict[str, Sequence[Metric]]:
    """Subject -> typed metrics: shares of whole SAEs, events of codes, garden paths of SAEs and of the model."""
    made: dict[str, list[Metric]] = {share.sae: list(share.metrics) for share in shares}
    for code in dict.fromkeys(code for code, _ in found):
        made.setdefault(code, []).extend(event_metrics(code, found))
    for sae in dict.fromkeys(effect.sae for effect in changed):
        made.setdefault(sae or "model", []).extend(effect_metrics([e for e in changed if e.sae == sae], MEASURES))
    return dict(made)
