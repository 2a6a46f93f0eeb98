"""What delphi's detection and fuzzing share: windows, batches, numbers (protocol and mistakes: `_as_delphi.py`)."""

import json
import random
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from monoseme.atlas.evidence import Evidence
from monoseme.atlas.judgements import Judgement
from monoseme.atlas.said import Explanation, Score
from monoseme.atlas.score import _as_delphi as peer
from monoseme.atlas.score import _numbers as numbers
from monoseme.atlas.score._base import Scorer
from monoseme.atlas.score._kept_grid import KeptGrid, Window
from monoseme.atlas.score._measured import missing
from monoseme.core.errors import ConfigError
from monoseme.core.seeds import derive_seed
from monoseme.judges import Answer, Desk, Message, Question

_MOST_CHARACTERS = 2_000
_N_LOGPROBS = 5


class Shown(NamedTuple):
    """A window as the judge sees it."""

    text: str
    fires: bool
    quantile: int | None
    """Tenth of the ranks, 0 the strongest; None for one without a firing."""
    document: int
    position: int


class Windows(NamedTuple):
    """The windows of one latent that delphi tests on."""

    test: list[Window]
    quantiles: list[int]
    silent: list[Window]
    n_activating: int


class DelphiScorer(Scorer):
    """Asks about five windows at a time, for yes or no each."""

    asks_judge = True
    definitions = {  # noqa: RUF012 - a class constant of the contract
        "accuracy": "what delphi calls accuracy: (share of firing windows said to fire + share of the others not) / 2; in [0, 1],"
        " higher is better, 0.5 is chance",
        "f1": "harmonic mean of precision and recall over the latent's windows; in [0, 1], higher is better",
        "precision": "share of the windows said to fire that do; in [0, 1], higher is better",
        "recall": "share of the firing windows said to fire; in [0, 1], higher is better",
        "auroc": "AUROC of P(1) / (P(0) + P(1)) where the judge gives log-probabilities; in [0, 1], higher is better",
        "n_explained_with": "test windows that delphi's explainer has seen, of 50 (count); an honest split has 0",
        "lost_fraction": "share of the windows whose answers were lost (delphi always reports 0); in [0, 1], lower is better",
    }

    @dataclass(frozen=True, kw_only=True)
    class Config(Scorer.Config):
        """As delphi's defaults, save how many activating windows there must be."""

        n_silent: int = 50
        """Windows without a firing (count)."""
        window: int = 32
        """Tokens of a window (count)."""
        fewest_activating: int = 200
        """Activating windows in the kept contexts below which a latent is passed over (count); delphi takes 200 of 10 million
        tokens."""
        seed: int = 22
        """Of the windows without a firing and of the order in which windows are shown."""

        def __post_init__(self) -> None:
            if self.n_silent < 1 or self.window < 4 or self.fewest_activating < peer.N_QUANTILES:
                raise ConfigError(f"n_silent must be at least 1, window 4 and fewest_activating {peer.N_QUANTILES}.")

    def __init__(self, config: Config | None = None, *, desk: Desk | None = None) -> None:
        super().__init__(config, desk=desk)
        self.config = config or self.Config()

    @abstractmethod
    def show(self, windows: Windows, grid: KeptGrid) -> list[Shown]:
        """The windows as the judge sees them."""

    @abstractmethod
    def system(self) -> str:
        """What the judge is to do."""

    def questions(self, evidence: Evidence, explanations: Sequence[Explanation]) -> Iterator[Question]:
        """All that `score` would ask."""
        for explanation, trial in zip(explanations, self._trials(evidence, explanations), strict=True):
            if not isinstance(trial, str):
                yield from (self._ask(explanation, batch) for batch in trial.batches)

    def score(self, evidence: Evidence, explanations: Sequence[Explanation]) -> Iterator[Score]:
        """All numbers of all explanations, in order."""
        trials = list(self._trials(evidence, explanations))
        asked = [
            self._ask(explanation, batch)
            for explanation, trial in zip(explanations, trials, strict=True)
            if not isinstance(trial, str)
            for batch in trial.batches
        ]
        answers = self.answers(asked)
        for explanation, trial in zip(explanations, trials, strict=True):
            if isinstance(trial, str):
                yield from missing(explanation.latent, list(self.definitions), trial)
            else:
                yield from self._scores(explanation.latent, trial, [next(answers) for _ in trial.batches])

    def _trials(self, evidence: Evidence, explanations: Sequence[Explanation]) -> Iterator["_Trial | str"]:
        kept = evidence.kept
        grid = None if kept is None else KeptGrid(evidence, kept)
        for explanation in explanations:
            evidence.latents.check_latent(explanation.latent)
            if grid is None:
                yield str(evidence.why_no_codes)
            elif explanation.text is None:
                yield f"not explained: {explanation.why_missing}"
            else:
                yield self._trial(grid, explanation.latent)

    def _trial(self, grid: KeptGrid, latent: int) -> "_Trial | str":
        acts, length = grid.activations(latent), self.config.window
        n_across = grid.length // length
        cut = acts[:, : n_across * length].reshape(-1, length)
        strongest = cut.max(axis=1, initial=0.0)
        ranked = np.argsort(-strongest, kind="stable")[: int((strongest > 0).sum())]
        if len(ranked) < self.config.fewest_activating:
            return f"{len(ranked)} activating windows in the kept contexts, of {self.config.fewest_activating} that are wanted"
        rng = np.random.default_rng(derive_seed(self.config.seed, "as_delphi", latent))
        silent = rng.permutation(np.nonzero(strongest == 0)[0])[: self.config.n_silent]

        def window(number: int) -> Window:
            row, first = number // n_across, number % n_across * length
            return Window(row, first, grid.tokens[row, first : first + length], cut[number])

        chosen = peer.of_quantiles(len(ranked), peer.N_TEST)
        test = [window(int(ranked[found.rank])) for found in chosen]
        others = [window(int(number)) for number in silent]
        shown = self.show(Windows(test, [found.quantile for found in chosen], others, len(ranked)), grid)
        random.Random(derive_seed(self.config.seed, "as_delphi", "order", latent)).shuffle(shown)
        batches = [shown[i : i + peer.N_SHOWN] for i in range(0, len(shown), peer.N_SHOWN)]
        return _Trial(batches, peer.n_shared(len(ranked)))

    def _ask(self, explanation: Explanation, batch: Sequence[Shown]) -> Question:
        lines = "\n".join(f"Example {i}: {shown.text}" for i, shown in enumerate(batch))
        user = f"Latent explanation: {(explanation.text or '')[:_MOST_CHARACTERS]}\n\nText examples:\n\n{lines}"
        messages = (Message("system", self.system()), Message("user", user))
        return Question(messages=messages, max_tokens=500, n_logprobs=_N_LOGPROBS)

    def _scores(self, latent: int, trial: "_Trial", answers: Sequence[Answer]) -> Iterator[Score]:
        said: list[bool | None] = []
        chances: list[float | None] = []
        for number, (batch, answer) in enumerate(zip(trial.batches, answers, strict=True)):
            given = None if answer.text is None or answer.failure else peer.said_in(answer.text, n_windows=len(batch))
            likely = None if given is None or answer.reply is None else peer.probabilities_in(answer.reply.tokens)
            said += given or [None] * len(batch)
            chances += likely or [None] * len(batch)
            failure = None if given else answer.failure or "no list of five numbers"
            for shown, says in zip(batch, given or [None] * len(batch), strict=True):
                self.judgements.append(_judgement(latent, number, shown, says, failure))
        fires = [shown.fires for batch in trial.batches for shown in batch]
        for name, value in confusion(said, fires).items():
            why = None if value is not None else "no usable answer about windows of both kinds, or none said to fire"
            yield Score(latent=latent, name=name, value=value, why_missing=why, n=len(fires))
        yield _auroc(latent, chances, fires)
        yield Score(latent=latent, name="n_explained_with", value=float(trial.n_shared), n=peer.N_TEST)
        yield Score(latent=latent, name="lost_fraction", value=sum(s is None for s in said) / len(said), n=len(said))


class _Trial(NamedTuple):
    batches: list[list[Shown]]
    n_shared: int


def confusion(said: Sequence[bool | None], fires: Sequence[bool]) -> dict[str, float | None]:
    """delphi's numbers from yes and no; lost answers are left out. None where a denominator is 0."""
    pairs = [(says, truth) for says, truth in zip(said, fires, strict=True) if says is not None]
    count = {key: sum(pair == key for pair in pairs) for key in ((True, True), (True, False), (False, True), (False, False))}
    hits, alarms, misses, passes = count.values()
    recall, quiet = _over(hits, hits + misses), _over(passes, passes + alarms)
    return {
        "accuracy": None if recall is None or quiet is None else (recall + quiet) / 2,
        "f1": _over(2 * hits, 2 * hits + alarms + misses),
        "precision": _over(hits, hits + alarms),
        "recall": recall,
    }


def _over(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _auroc(latent: int, chances: Sequence[float | None], fires: Sequence[bool]) -> Score:
    known = np.array([chance is not None for chance in chances])
    truth = np.array(fires)[known]
    if not truth.any() or truth.all():
        return Score(latent=latent, name="auroc", value=None, why_missing="the judge gave no log-probabilities", n=0)
    strength = np.array([chance for chance in chances if chance is not None])
    value = float(numbers.weighted_auroc(strength, truth, np.ones((1, len(truth))))[0])
    return Score(latent=latent, name="auroc", value=value, n=len(truth))


def _judgement(latent: int, number: int, shown: Shown, says: bool | None, failure: str | None) -> Judgement:
    return Judgement(
        latent=latent,
        told="own",
        told_of=latent,
        question=number,
        kind="decile" if shown.fires else "silent",
        document=shown.document,
        position=shown.position,
        decile=None if shown.quantile is None else peer.N_QUANTILES - 1 - shown.quantile,
        truth=float(shown.fires),
        answer=None if says is None else float(says),
        says=says,
        failure=failure,
        details=json.dumps({"quantile": shown.quantile}),
    )
